#include "rollout/service/weight_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>

#include "ponder/v1/rollout.pb.h"
#include "rollout/service/model_fingerprint.h"
#include "tests/rollout/tiny_model.h"

namespace ponder {
namespace {

using testing::HasSubstr;

std::string Serialized(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

grpc::ByteBuffer MessageOf(const std::string& bytes) {
  // In two slices, as the network may cut them.
  const grpc::Slice slices[] = {grpc::Slice(bytes.substr(0, bytes.size() / 3)),
                                grpc::Slice(bytes.substr(bytes.size() / 3))};
  return grpc::ByteBuffer(slices, std::size(slices));
}

// Version 3 of one model, to be brought to another.
class WeightStream : public testing::Test {
 protected:
  static constexpr size_t kCut = 10'001;

  WeightStream()
      : source_(TinyModel::Make(kernels::DType::kBF16, 1, 1)),
        target_(TinyModel::Make(kernels::DType::kBF16, 1, 2)) {
    const std::string bytes = ArenaOf(*source_.weights);
    for (size_t begin = 0; begin < bytes.size(); begin += kCut) {
      v1::WeightChunk& chunk = chunks_.emplace_back();
      chunk.set_policy_version(3);
      chunk.set_offset(static_cast<int64_t>(begin));
      chunk.set_data(bytes.substr(begin, kCut));
      chunk.set_xxh3(XXH3_64bits(chunk.data().data(), chunk.data().size()));
    }
    EXPECT_GT(chunks_.size(), 4u);
  }

  // What happens to `chunks`; the target must be untouched where it is an error.
  absl::Status Transfer(const std::vector<v1::WeightChunk>& chunks) {
    std::vector<std::string> messages;
    for (const v1::WeightChunk& chunk : chunks) messages.push_back(chunk.SerializeAsString());
    return Transfer(messages);
  }
  absl::Status Transfer(const std::vector<std::string>& messages) {
    const std::string before = ArenaOf(*target_.weights);
    kernels::DeviceBuffer arena = target_.weights->MakeArena().value();
    WeightAssembler assembler(*target_.weights, arena, 3);
    absl::Status status;
    for (const std::string& message : messages) {
      if (status.ok()) status = assembler.Add(MessageOf(message));
    }
    if (status.ok()) status = assembler.Finish();
    if (status.ok()) status = target_.weights->Exchange(arena);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(ArenaOf(*target_.weights), before);
    }
    return status;
  }

  TinyModel source_, target_;
  std::vector<v1::WeightChunk> chunks_;
};

TEST_F(WeightStream, BringsEveryByte) {
  ASSERT_TRUE(Transfer(chunks_).ok());
  EXPECT_EQ(ArenaOf(*target_.weights), ArenaOf(*source_.weights));
}

TEST_F(WeightStream, ASnapshotsMessagesAreChunksOfLimitedSize) {
  const int64_t bytes = 2 * kWeightChunkBytes + 5;
  auto segment = WeightSegment::Create(1, bytes).value();
  std::fill_n(segment->Data(), bytes, 'a');
  segment->Data()[bytes - 1] = 'z';
  WeightSnapshot* const written = new WeightSnapshot(std::move(segment), 7);
  const std::shared_ptr<const WeightSnapshot> snapshot(written);
  written->Advance(bytes);
  WeightChunker chunker(snapshot);
  std::vector<std::pair<int64_t, size_t>> cuts;
  std::string all;
  while (!chunker.Done()) {
    const absl::StatusOr<grpc::ByteBuffer> message = chunker.Next();
    ASSERT_TRUE(message.ok()) << message.status();
    v1::WeightChunk chunk;
    ASSERT_TRUE(chunk.ParseFromString(Serialized(*message)));
    EXPECT_EQ(chunk.policy_version(), 7);
    EXPECT_EQ(chunk.xxh3(), XXH3_64bits(chunk.data().data(), chunk.data().size()));
    cuts.emplace_back(chunk.offset(), chunk.data().size());
    all += chunk.data();
  }
  EXPECT_EQ(cuts, (std::vector<std::pair<int64_t, size_t>>{{0, kWeightChunkBytes},
                                                           {kWeightChunkBytes, kWeightChunkBytes},
                                                           {2 * kWeightChunkBytes, 5}}));
  EXPECT_EQ(all, std::string(bytes - 1, 'a') + 'z');
}

TEST_F(WeightStream, ADamagedByteIsFound) {
  chunks_[2].mutable_data()->at(7) ^= 1;
  EXPECT_THAT(std::string(Transfer(chunks_).message()), HasSubstr("checksum"));
}

TEST_F(WeightStream, AMissingChunkIsFound) {
  auto chunks = chunks_;
  chunks.erase(chunks.begin() + 1);
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("found the chunk of byte"));
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
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("found a chunk of version 2"));
  chunks = chunks_;
  chunks.back().mutable_data()->push_back('x');
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("bytes, found"));
  chunks = chunks_;
  chunks[0].clear_data();
  EXPECT_THAT(std::string(Transfer(chunks).message()), HasSubstr("without data"));
}

TEST_F(WeightStream, AMessageCutOffAnywhereIsFound) {
  std::vector<std::string> messages = {chunks_[0].SerializeAsString()};
  const std::string whole = messages[0];
  for (size_t size = 0; size < whole.size(); size += size < 40 ? 1 : 997) {
    messages[0] = whole.substr(0, size);
    EXPECT_FALSE(Transfer(messages).ok()) << size;
  }
}

TEST_F(WeightStream, DataBeforeItsPlaceIsKnownIsRefused) {
  v1::WeightChunk data, rest = chunks_[1];
  data.set_data(rest.data());
  rest.clear_data();
  EXPECT_FALSE(Transfer({chunks_[0].SerializeAsString(),
                         data.SerializeAsString() + rest.SerializeAsString()})
                   .ok());
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
