#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/file.h"
#include "kernels/collective.h"
#include "learner/create_trainer.h"
#include "tests/learner/tiny_trainer.h"
#include "tests/model/tiny_models.h"
#include "tests/reference/test_backend.h"

namespace ponder {
namespace {

using kernels::DType;
using ::testing::HasSubstr;

// A trainer over several backends of the test's kind.
struct ManyRanks {
  ManyRanks(const std::string& directory, TrainerOptions options, int64_t ranks) {
    std::vector<kernels::Backend*> pointers;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      backends.push_back(MakeTestBackend(1));
      pointers.push_back(backends.back().get());
    }
    collectives = kernels::CreateHostCollectives(pointers);
    std::vector<TrainerDevice> devices;
    for (size_t rank = 0; rank < backends.size(); ++rank)
      devices.push_back({backends[rank].get(), collectives[rank].get()});
    options.model_directory = directory;
    trainer = CreateLocalTrainer(devices, options).value();
  }

  // Of rank 0; the others must have the same bits.
  uint64_t Hash() const {
    const uint64_t first = WorkingHash(trainer->GetWeights());
    for (int64_t rank = 0; rank < std::ssize(backends); ++rank) {
      EXPECT_EQ(WorkingHash(trainer->WeightsOn(rank)), first) << "rank " << rank;
      EXPECT_EQ(trainer->WeightsOn(rank).Version(), trainer->PolicyVersion());
    }
    return first;
  }

  std::vector<std::unique_ptr<kernels::Backend>> backends;
  std::vector<std::unique_ptr<kernels::Collective>> collectives;
  std::unique_ptr<Trainer> trainer;
};

// Largest difference of fp32 working weights.
double Difference(const Weights& a, const Weights& b) {
  double difference = 0;
  for (int64_t i = 0; i < std::ssize(a.Layout().parameters); ++i) {
    const std::string first = a.ExportWorking(i), second = b.ExportWorking(i);
    for (size_t at = 0; at < first.size(); at += sizeof(float)) {
      float x, y;
      std::memcpy(&x, first.data() + at, sizeof(x));
      std::memcpy(&y, second.data() + at, sizeof(y));
      difference = std::max(difference, std::abs(static_cast<double>(x) - y));
    }
  }
  return difference;
}

// Adam divides by the root of the second moment; an epsilon above the noise of the gradients bounds
// what the noise does to a weight.
constexpr double kLearningRate = 3e-3, kEpsilon = 1e-5;
const TrainerOptions kOptions = {.dtype = DType::kF32,
                                 .optimizer = {.learning_rate = kLearningRate,
                                               .beta2 = 0.95,
                                               .epsilon = kEpsilon,
                                               .weight_decay = 0.1,
                                               .max_gradient_norm = 0.5},
                                 .micro_batch_tokens = 150,
                                 .max_new_tokens = 40};

// Sums of the same terms in another order: elements of the gradient are below 1, so they are off by
// some 1e-7, and each update shifts a weight by at most learning rate * noise / epsilon.
double Tolerance(int64_t updates) {
  return static_cast<double>(updates) * kLearningRate * 1e-7 / kEpsilon;
}

class DataParallel : public ::testing::TestWithParam<int64_t> {
 protected:
  DataParallel() { WriteTinyModel("llama", folder_.Path("model")); }
  std::string Model() const { return folder_.Path("model"); }
  std::string ReadAll(const std::string& directory, const std::string& file) const {
    return ReadFile(folder_.Path(directory) + file, int64_t{1} << 24).value();
  }
  // Five groups of different sizes.
  static std::vector<ScoredGroup> Groups(const TinyTrainer& tiny) {
    std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
    const std::vector<ScoredGroup> more = groups;
    groups.push_back(more[0]);
    groups.push_back(more[2]);
    groups[3].advantages = {0.5f, 0.75f, -1.0f, -0.25f};
    groups[4].advantages = {0, 0, 0, 0};  // without a gradient, but counted
    return groups;
  }

  TestFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Ranks, DataParallel, ::testing::Values(2, 3));

// Those of sums differ in their last digits; the tokens near a clip's border might too, but for
// weights this close.
void ExpectSameMetrics(const UpdateReport& found, const UpdateReport& expected) {
  EXPECT_EQ(found.policy_version, expected.policy_version);
  ASSERT_EQ(found.metrics.size(), expected.metrics.size());
  for (const auto& [name, value] : expected.metrics) {
    if (name == "learner/rows" || name == "learner/micro_batches") continue;  // packed otherwise
    EXPECT_NEAR(found.metrics.at(name), value, 2e-5 * std::max(1.0, std::abs(value))) << name;
  }
}

TEST_P(DataParallel, LearnsWhatOneDeviceLearnsWhateverTheAggregation) {
  for (const char* aggregation : {"token_mean", "sequence_mean", "constant"}) {
    TrainerOptions options = kOptions;
    options.loss.aggregation = aggregation;
    TinyTrainer one(Model(), options, 1);
    ManyRanks many(Model(), options, GetParam());
    const std::vector<ScoredGroup> groups = Groups(one);
    for (int update = 0; update < 5; ++update) {
      const auto expected = one.trainer->Update(groups, SamplerNumerics::kSame);
      const auto found = many.trainer->Update(groups, SamplerNumerics::kSame);
      ASSERT_TRUE(expected.ok() && found.ok()) << expected.status() << found.status();
      ExpectSameMetrics(*found, *expected);
      EXPECT_EQ(found->clips, expected->clips);
      if (update == 0) {
        EXPECT_EQ(found->metrics.at("exactness/logprob_max_abs_diff"), 0);
        EXPECT_EQ(found->metrics.at("exactness/tokens"), 4.0 * (1 + 11 + 17 + 40));
      }
    }
    many.Hash();
    EXPECT_LE(Difference(many.trainer->GetWeights(), one.trainer->GetWeights()), Tolerance(5))
        << aggregation;
  }
}

TEST_P(DataParallel, TakesSeveralUpdatesAStepOnSamplersOfOtherNumericsWithAReference) {
  TrainerOptions options = kOptions;
  options.updates_per_step = 2;
  options.loss.kl_weight = 0.05;
  TinyTrainer one(Model(), options, 1);
  ManyRanks many(Model(), options, GetParam());
  std::vector<ScoredGroup> groups = Groups(one);
  for (ScoredGroup& scored : groups) {
    for (Completion& completion : scored.group.completions) {
      for (float& logprob : completion.logprobs) logprob -= 0.01f;
    }
  }
  ASSERT_TRUE(one.trainer->SetReferenceFromCurrent().ok());
  ASSERT_TRUE(many.trainer->SetReferenceFromCurrent().ok());
  for (int step = 0; step < 2; ++step) {
    const auto expected = one.trainer->Update(groups, SamplerNumerics::kDiffer);
    const auto found = many.trainer->Update(groups, SamplerNumerics::kDiffer);
    ASSERT_TRUE(expected.ok() && found.ok()) << expected.status() << found.status();
    EXPECT_EQ(found->metrics.at("optimizer/updates"), 2);
    EXPECT_NE(found->metrics.at("policy/importance_mean"), 1);
    ExpectSameMetrics(*found, *expected);
  }
  many.Hash();
  EXPECT_LE(Difference(many.trainer->GetWeights(), one.trainer->GetWeights()), Tolerance(4));
}

TEST_P(DataParallel, IsTheSameToTheLastBitWhereOneRankHasAllTokens) {
  TinyTrainer one(Model(), kOptions, 1);
  ManyRanks many(Model(), kOptions, GetParam());
  const std::vector<ScoredGroup> groups = {Groups(one)[2]};
  for (int update = 0; update < 3; ++update) {
    ASSERT_TRUE(one.trainer->Update(groups, SamplerNumerics::kSame).ok());
    ASSERT_TRUE(many.trainer->Update(groups, SamplerNumerics::kSame).ok());
  }
  EXPECT_EQ(many.Hash(), WorkingHash(one.trainer->GetWeights()));
  // Nothing to learn anywhere: no update, no wait.
  std::vector<ScoredGroup> flat = groups;
  flat[0].advantages = {0, 0, 0, 0};
  const auto report = many.trainer->Update(flat, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->policy_version, 3);
}

TEST_P(DataParallel, SupervisesAsOneDeviceDoes) {
  TinyTrainer one(Model(), kOptions, 1);
  ManyRanks many(Model(), kOptions, GetParam());
  const std::vector<SftExample> examples = RandomExamples(7);
  for (int update = 0; update < 5; ++update) {
    const auto expected = one.trainer->Supervise(examples);
    const auto found = many.trainer->Supervise(examples);
    ASSERT_TRUE(expected.ok() && found.ok()) << expected.status() << found.status();
    ExpectSameMetrics(*found, *expected);
  }
  many.Hash();
  EXPECT_LE(Difference(many.trainer->GetWeights(), one.trainer->GetWeights()), Tolerance(5));
  EXPECT_EQ(many.trainer->Supervise({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(DataParallel, SkipsOnAllRanksWhatIsNotFiniteOnOne) {
  ManyRanks many(Model(), kOptions, GetParam()), fresh(Model(), kOptions, GetParam());
  TinyTrainer one(Model(), kOptions, 1);
  const std::vector<ScoredGroup> sound = Groups(one);
  const uint64_t before = many.Hash();
  // Known before the gradients are added up ...
  std::vector<ScoredGroup> bad = sound;
  bad[1].advantages[2] = std::nanf("");
  auto report = many.trainer->Update(bad, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->skip_reason,
            "the advantage of token 0 of completion 2 of task 'task-1' is nan");
  EXPECT_EQ(many.Hash(), before);
  // ... and known by their norm alone.
  TrainerOptions large = kOptions;
  large.loss.aggregation = "constant";
  large.max_new_tokens = 1;
  ManyRanks overflowing(Model(), large, GetParam());
  bad = {sound[1], sound[2]};
  for (float& advantage : bad[0].advantages) advantage *= 2e38f;
  report = overflowing.trainer->Update(bad, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->skip_reason, HasSubstr("the gradient of model."));
  EXPECT_EQ(overflowing.Hash(), before);
  // What was accumulated is forgotten.
  ASSERT_TRUE(many.trainer->Update(sound, SamplerNumerics::kSame).ok());
  ASSERT_TRUE(fresh.trainer->Update(sound, SamplerNumerics::kSame).ok());
  EXPECT_EQ(many.Hash(), fresh.Hash());
}

TEST_P(DataParallel, WritesTheCheckpointOfOneDeviceAndGoesOnFromIt) {
  TrainerOptions options = kOptions;
  options.loss.kl_weight = 0.05;
  TinyTrainer one(Model(), options, 1);
  const std::vector<ScoredGroup> groups = Groups(one);
  ASSERT_TRUE(one.trainer->SetReferenceFromCurrent().ok());
  ASSERT_TRUE(one.trainer->Update(groups, SamplerNumerics::kSame).ok());
  ASSERT_TRUE(one.trainer->SaveCheckpoint(folder_.Path("one")).ok());

  ManyRanks many(Model(), options, GetParam());
  ASSERT_TRUE(many.trainer->LoadCheckpoint(folder_.Path("one")).ok());
  EXPECT_EQ(many.Hash(), WorkingHash(one.trainer->GetWeights()));
  ASSERT_TRUE(many.trainer->SaveCheckpoint(folder_.Path("many")).ok());
  for (const char* file : {"/trainer_state.bin", "/model.safetensors", "/config.json"})
    EXPECT_EQ(ReadAll("many", file), ReadAll("one", file));

  // Moments and reference are there on every rank: the next update is that of one device.
  ASSERT_TRUE(one.trainer->Update(groups, SamplerNumerics::kSame).ok());
  ASSERT_TRUE(many.trainer->Update(groups, SamplerNumerics::kSame).ok());
  many.Hash();
  EXPECT_LE(Difference(many.trainer->GetWeights(), one.trainer->GetWeights()), Tolerance(1));

  // And back to one.
  ASSERT_TRUE(many.trainer->SaveCheckpoint(folder_.Path("many-2")).ok());
  TinyTrainer again(Model(), options, 1);
  ASSERT_TRUE(again.trainer->LoadCheckpoint(folder_.Path("many-2")).ok());
  EXPECT_EQ(WorkingHash(again.trainer->GetWeights()), many.Hash());
}

TEST_P(DataParallel, EndsWhereACollectiveFails) {
  ManyRanks many(Model(), kOptions, GetParam());
  TinyTrainer one(Model(), kOptions, 1);
  many.collectives[1]->Abort(Unavailable("the cable is out"));
  const auto report = many.trainer->Update(Groups(one), SamplerNumerics::kSame);
  EXPECT_EQ(report.status().message(), "the cable is out");
  EXPECT_EQ(many.trainer->PolicyVersion(), 0);
}

}  // namespace
}  // namespace ponder
