#include "rollout/service/weight_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/service/model_fingerprint.h"
#include "tests/rollout/tiny_model.h"

namespace ponder {
namespace {

using testing::HasSubstr;

// Version 3 of one model, to be brought to another.
class WeightStream : public testing::Test {
 protected:
  WeightStream()
      : source_(TinyModel::Make(kernels::DType::kBF16, 1, 1)),
        target_(TinyModel::Make(kernels::DType::kBF16, 1, 2)) {
    WeightChunker chunker(TakeSnapshot(*source_.weights, 3));
    v1::WeightChunk chunk;
    while (chunker.Next(chunk)) chunks_.push_back(chunk);
  }

  // What happens to `chunks`; the target must be untouched where it is an error.
  absl::Status Transfer(const std::vector<v1::WeightChunk>& chunks) {
    const auto before = TakeSnapshot(*target_.weights, 0);
    WeightAssembler assembler(*target_.weights, 3);
    absl::Status status;
    for (const v1::WeightChunk& chunk : chunks) {
      status = assembler.Add(chunk);
      if (!status.ok()) break;
    }
    if (status.ok()) status = assembler.Install(*target_.weights);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(TakeSnapshot(*target_.weights, 0)->parameters, before->parameters);
      EXPECT_EQ(target_.weights->Version(), 0);
    }
    return status;
  }

  TinyModel source_, target_;
  std::vector<v1::WeightChunk> chunks_;
};

TEST_F(WeightStream, BringsEveryByteAndTheVersion) {
  ASSERT_TRUE(Transfer(chunks_).ok());
  EXPECT_EQ(TakeSnapshot(*target_.weights, 0)->parameters,
            TakeSnapshot(*source_.weights, 0)->parameters);
  EXPECT_EQ(target_.weights->Version(), 3);
}

TEST_F(WeightStream, CutsLargeParametersIntoChunksOfLimitedSize) {
  auto snapshot = std::make_shared<WeightSnapshot>();
  snapshot->parameters = {std::string(2 * kWeightChunkBytes + 5, 'a'), "b"};
  WeightChunker chunker(snapshot);
  v1::WeightChunk chunk;
  std::vector<std::tuple<int64_t, int64_t, size_t, bool>> cuts;
  while (chunker.Next(chunk))
    cuts.emplace_back(chunk.parameter(), chunk.offset(), chunk.data().size(), chunk.last());
  const std::vector<std::tuple<int64_t, int64_t, size_t, bool>> expected = {
      {0, 0, kWeightChunkBytes, false},
      {0, kWeightChunkBytes, kWeightChunkBytes, false},
      {0, 2 * kWeightChunkBytes, 5, false},
      {1, 0, 1, true}};
  EXPECT_EQ(cuts, expected);
}

TEST_F(WeightStream, ADamagedByteIsFound) {
  chunks_[2].mutable_data()->at(7) ^= 1;
  EXPECT_THAT(std::string(Transfer(chunks_).message()), HasSubstr("checksum"));
}

TEST_F(WeightStream, AMissingChunkIsFound) {
  auto chunks = chunks_;
  chunks.erase(chunks.begin() + 1);
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("next"));
  chunks = chunks_;
  chunks.pop_back();
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("ended after"));
}

TEST_F(WeightStream, ARepeatedChunkIsFound) {
  auto chunks = chunks_;
  chunks.insert(chunks.begin() + 1, chunks[1]);
  EXPECT_FALSE(Transfer(chunks).ok());
  chunks = chunks_;
  chunks.push_back(chunks.back());
  EXPECT_FALSE(Transfer(chunks).ok());
}

TEST_F(WeightStream, ChunksOfAnotherVersionOrSizeAreFound) {
  auto chunks = chunks_;
  chunks[1].set_policy_version(2);
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("expected policy version 3"));
  chunks = chunks_;
  chunks[0].mutable_data()->push_back('x');
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("bytes, found"));
  chunks = chunks_;
  chunks[0].clear_data();
  EXPECT_FALSE(Transfer(chunks).ok());
}

TEST_F(WeightStream, ModelsThatDifferInAnythingButValuesHaveOtherFingerprints) {
  EXPECT_EQ(ModelFingerprint(*source_.weights), ModelFingerprint(*target_.weights));
  ModelConfig config = source_.weights->Config();
  config.rope.theta = 20000;
  const auto other = Weights::Create(*source_.backend, config, kernels::DType::kBF16).value();
  other->SetDrawableTokens(source_.weights->DrawableTokens());
  EXPECT_NE(ModelFingerprint(*source_.weights), ModelFingerprint(*other));
  EXPECT_NE(ModelFingerprint(*source_.weights),
            ModelFingerprint(*TinyModel::Make(kernels::DType::kF32, 1).weights));
}

}  // namespace
}  // namespace ponder
