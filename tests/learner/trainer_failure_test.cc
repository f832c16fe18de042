#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "learner/create_trainer.h"
#include "tests/learner/tiny_trainer.h"
#include "tests/model/tiny_models.h"

namespace ponder {
namespace {

using kernels::DType;
using ::testing::HasSubstr;

const TrainerOptions kOptions = {
    .dtype = DType::kF32, .micro_batch_tokens = 300, .max_bad_updates = 3};

class TrainerFailure : public ::testing::Test {
 protected:
  TrainerFailure() { WriteTinyModel("llama", folder_.Path("model")); }

  TestFolder folder_;
};

TEST_F(TrainerFailure, SkipsAnUpdateWithAnAdvantageThatIsNotANumberAndNamesIt) {
  TinyTrainer tiny(folder_.Path("model"), kOptions);
  std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  const std::vector<ScoredGroup> sound = groups;
  groups[1].advantages[2] = std::nanf("");
  const uint64_t before = WorkingHash(tiny.trainer->GetWeights());
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->skipped_updates, 1);
  EXPECT_EQ(report->skip_reason,
            "the advantage of token 0 of completion 2 of task 'task-1' is nan");
  EXPECT_EQ(report->policy_version, 0);
  EXPECT_EQ(WorkingHash(tiny.trainer->GetWeights()), before);

  // What was accumulated before the bad micro-batch is forgotten: the next update is that of a
  // fresh trainer.
  TinyTrainer fresh(folder_.Path("model"), kOptions);
  ASSERT_TRUE(tiny.trainer->Update(sound, SamplerNumerics::kSame).ok());
  ASSERT_TRUE(fresh.trainer->Update(sound, SamplerNumerics::kSame).ok());
  EXPECT_EQ(WorkingHash(tiny.trainer->GetWeights()), WorkingHash(fresh.trainer->GetWeights()));
}

TEST_F(TrainerFailure, NamesABehaviourLogProbThatIsInfinite) {
  TinyTrainer tiny(folder_.Path("model"), kOptions);
  std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  groups[0].group.completions[1].logprobs[5] = -std::numeric_limits<float>::infinity();
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->skip_reason,
            "the behaviour log-prob of token 5 of completion 1 of task 'task-0' is -inf");
  EXPECT_EQ(report->metrics.at("optimizer/skipped"), 1);
}

TEST_F(TrainerFailure, StopsAfterSeveralBadUpdatesInARowAndNamesTheWeight) {
  // A learning rate that overflows: the first update makes weights that are not finite.
  TrainerOptions options = kOptions;
  options.optimizer.learning_rate = 1e38;
  options.optimizer.max_gradient_norm = 0;
  options.optimizer.weight_decay = 1e30;
  TinyTrainer tiny(folder_.Path("model"), options);
  const std::vector<SftExample> examples = RandomExamples(3);
  auto report = tiny.trainer->Supervise(examples);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->skipped_updates, 0);
  for (int i = 0; i < 2; ++i) {
    report = tiny.trainer->Supervise(examples);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->skipped_updates, 1);
    EXPECT_THAT(report->skip_reason, HasSubstr("the weight model."));
  }
  report = tiny.trainer->Supervise(examples);
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(report.status().message()),
              HasSubstr("3 updates in a row were skipped, the last because the weight"));
}

TEST_F(TrainerFailure, NamesTheTensorWhoseGradientOverflows) {
  // Log-probs stay finite while the gradient does not: advantages near the largest float.
  TrainerOptions options = kOptions;
  options.loss.aggregation = "constant";
  options.max_new_tokens = 1;
  TinyTrainer tiny(folder_.Path("model"), options);
  std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  for (ScoredGroup& scored : groups) {
    for (float& advantage : scored.advantages) advantage *= 2e38f;
  }
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->skipped_updates, 1);
  EXPECT_THAT(report->skip_reason, HasSubstr("the gradient of model."));
}

TEST_F(TrainerFailure, CountsBadUpdatesOnlyInARow) {
  TinyTrainer tiny(folder_.Path("model"), kOptions);
  const std::vector<ScoredGroup> sound = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  std::vector<ScoredGroup> bad = sound;
  bad[0].advantages[0] = std::numeric_limits<float>::infinity();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(tiny.trainer->Update(bad, SamplerNumerics::kSame).ok());
    EXPECT_TRUE(tiny.trainer->Update(bad, SamplerNumerics::kSame).ok());
    EXPECT_TRUE(tiny.trainer->Update(sound, SamplerNumerics::kSame).ok());
  }
}

TEST_F(TrainerFailure, RefusesBadDataBeforeItChangesAnything) {
  TrainerOptions options = kOptions;
  options.updates_per_step = 3;
  TinyTrainer tiny(folder_.Path("model"), options);
  std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  groups[2].group.prompt_ids[0] = 75;
  EXPECT_EQ(tiny.trainer->Update(groups, SamplerNumerics::kSame).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tiny.trainer->PolicyVersion(), 0);
  EXPECT_EQ(tiny.trainer->Supervise({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TrainerFailure, AsksForAReferenceWhereTheLossNeedsOne) {
  TrainerOptions options = kOptions;
  options.loss.kl_weight = 0.1;
  TinyTrainer tiny(folder_.Path("model"), options);
  const std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  const auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("there is no reference policy"));
  ASSERT_TRUE(tiny.trainer->SetReferenceFromCurrent().ok());
  EXPECT_TRUE(tiny.trainer->Update(groups, SamplerNumerics::kSame).ok());
}

TEST_F(TrainerFailure, RefusesSettingsOutOfRange) {
  const auto backend = kernels::CreateCpuBackend({.threads = 1}).value();
  const auto message = [&](TrainerOptions options) {
    options.model_directory = folder_.Path("model");
    const auto trainer = CreateLocalTrainer(*backend, options);
    EXPECT_EQ(trainer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(trainer.status().message());
  };
  EXPECT_THAT(message({.micro_batch_tokens = 0}),
              HasSubstr("micro_batch_tokens must be at least 1, found 0"));
  EXPECT_THAT(message({.updates_per_step = 0}), HasSubstr("updates_per_step"));
  EXPECT_THAT(message({.loss = {.aggregation = "sum"}}), HasSubstr("loss.aggregation is 'sum'"));
  EXPECT_THAT(message({.optimizer = {.schedule = "linear"}}),
              HasSubstr("optimizer.total_updates is 0"));
}

}  // namespace
}  // namespace ponder
