// The loop with a fake at every seam.
#include "app/train_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "learner/fake_trainer.h"
#include "rollout/fake_engine.h"
#include "tests/rollout/byte_tokenizer.h"
#include "verifiers/fake_verifier.h"

namespace ponder {
namespace {

// Tasks whose gold is their number.
class NumberedTasks : public TaskSource {
 public:
  std::string Describe() const override { return "numbers"; }
  absl::StatusOr<std::vector<Task>> TasksFor(int64_t step, int64_t count) override {
    std::vector<Task> tasks;
    for (int64_t i = 0; i < count; ++i) {
      const std::string number = fmt::format("{}", step * count + i);
      tasks.push_back(
          {.id = "t" + number, .kind = "math", .question = "say " + number, .gold = number});
    }
    return tasks;
  }
  void Feedback(int64_t, const std::vector<std::pair<std::string, double>>& rates) override {
    feedback.push_back(rates);
  }
  std::vector<std::vector<std::pair<std::string, double>>> feedback;
};

class SilentConsole : public Console {
 public:
  void Say(const std::string& line) override { lines.push_back(line); }
  void Warn(const std::string& line) override { warnings.push_back(line); }
  void Progress(const std::string&, int64_t, int64_t) override {}
  std::vector<std::string> lines, warnings;
};

class TrainLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/train_loop_" + std::to_string(getpid()) +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(path_);
    directory_.emplace(*RunDirectory::Create(path_, ""));
    store_ = *RunStore::Open(directory_->StorePath(), RunStore::Mode::kCreate);
    config_.run.steps = 2;
    config_.run.checkpoint_every = 1;
    config_.rollout.prompts_per_step = 3;
    config_.rollout.completions_per_prompt = 4;
    config_.eval.tasks = 0;
    PromptTemplate plain = *FindPromptTemplate("plain");
    ModelConfig model;
    model.eos_ids = {0};
    prompts_.emplace(*PromptBuilder::Create(tokenizer_, model, plain, std::nullopt));
    // Even samples say the gold, odd ones do not.
    engine_ =
        CreateFakeEngine({.script = [](const RolloutRequest& request, int64_t sample, int64_t) {
          const std::string number = request.task_id.substr(1);
          return Completion{.sample_index = sample,
                            .token_ids = {65, 66},
                            .text = sample % 2 == 0 ? number : "no"};
        }});
    groups_ = CreateLocalGroupSource(*engine_);
    advantage_ = *CreateAdvantageEstimator("grpo");
  }
  void TearDown() override { std::filesystem::remove_all(path_); }

  TrainParts Parts() {
    return {.train_tasks = &tasks_,
            .prompts = &*prompts_,
            .groups = groups_.get(),
            .verifier = &verifier_,
            .advantage = advantage_.get(),
            .trainer = &trainer_,
            .store = store_.get(),
            .console = &console_,
            .directory = &*directory_,
            .clock = &clock_,
            .judge = {.max_retries = 0},
            .cancelled = [this] { return cancelled_; }};
  }

  std::string path_;
  RunConfig config_;
  ByteTokenizer tokenizer_;
  std::optional<PromptBuilder> prompts_;
  std::optional<RunDirectory> directory_;
  std::unique_ptr<RunStore> store_;
  std::unique_ptr<RolloutEngine> engine_;
  std::unique_ptr<GroupSource> groups_;
  std::unique_ptr<AdvantageEstimator> advantage_;
  NumberedTasks tasks_;
  FakeVerifier verifier_;
  FakeTrainer trainer_;
  SilentConsole console_;
  FakeClock clock_;
  bool cancelled_ = false;
};

double Metric(RunStore& store, int64_t step, const std::string& name) {
  const std::vector<StoredMetric> metrics = *store.ReadMetrics("train");
  for (const StoredMetric& metric : metrics) {
    if (metric.step == step && metric.name == name) return metric.value;
  }
  ADD_FAILURE() << "no metric " << name << " at step " << step;
  return -1;
}

TEST_F(TrainLoopTest, AStepGoesFromTasksToWeights) {
  const TrainSummary summary = *TrainLoop(config_, Parts()).Run({}, false);
  EXPECT_FALSE(summary.cancelled);
  EXPECT_EQ(summary.last_step, 2);
  ASSERT_EQ(trainer_.updates.size(), 2u);
  ASSERT_EQ(trainer_.updates[0].size(), 3u);
  const ScoredGroup& group = trainer_.updates[0][0];
  // Rewards 1 + 0.1 and 0 + 0.1 alternate: advantages (r - mean) / std = +1 and -1.
  EXPECT_NEAR(group.advantages[0], 1, 1e-4);
  EXPECT_NEAR(group.advantages[1], -1, 1e-4);
  EXPECT_EQ(Metric(*store_, 1, "groups/useful"), 1);
  EXPECT_DOUBLE_EQ(Metric(*store_, 1, "reward/correct"), 0.5);
  ASSERT_EQ(tasks_.feedback.size(), 2u);
  EXPECT_EQ(tasks_.feedback[0][0], std::pair(std::string("t0"), 0.5));
  EXPECT_EQ(store_->ReadCompletions("train", 2)->size(), 12u);
  EXPECT_EQ(trainer_.saved.size(), 3u);  // steps 0, 1, 2
}

TEST_F(TrainLoopTest, GroupsWithoutSignalAreCountedAllRightOrAllWrong) {
  verifier_.NextCallReturns(
      std::vector<Verdict>(4, {.status = VerdictStatus::kCorrect, .score = 1}));
  verifier_.NextCallReturns(std::vector<Verdict>(4, {.status = VerdictStatus::kWrong}));
  config_.run.steps = 1;
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  EXPECT_NEAR(Metric(*store_, 1, "groups/all_right"), 1.0 / 3, 1e-12);
  EXPECT_NEAR(Metric(*store_, 1, "groups/all_wrong"), 1.0 / 3, 1e-12);
  EXPECT_NEAR(Metric(*store_, 1, "groups/useful"), 1.0 / 3, 1e-12);
}

TEST_F(TrainLoopTest, WhatHasNoVerdictIsDroppedAndCounted) {
  verifier_.NextCallReturns(absl::UnavailableError("gone"));
  config_.run.steps = 1;
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  EXPECT_EQ(Metric(*store_, 1, "dropped/total"), 4);
  EXPECT_EQ(trainer_.updates[0].size(), 2u);
  EXPECT_EQ(store_->ReadCompletions("train", 1)->size(), 8u);
}

TEST_F(TrainLoopTest, AStepWithoutAnyVerdictEndsTheRun) {
  for (int i = 0; i < 3; ++i) verifier_.NextCallReturns(absl::UnavailableError("gone"));
  EXPECT_TRUE(absl::IsUnavailable(TrainLoop(config_, Parts()).Run({}, false).status()));
  EXPECT_TRUE(trainer_.updates.empty());
}

TEST_F(TrainLoopTest, AVerifierThatWillNotComeBackEndsTheRunWithItsWords) {
  verifier_.NextCallReturns(absl::FailedPreconditionError("restarts used up"));
  const absl::Status status = TrainLoop(config_, Parts()).Run({}, false).status();
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("restarts used up"));
}

TEST_F(TrainLoopTest, ASkippedUpdateIsShownAndStored) {
  trainer_.on_update = [this](std::span<const ScoredGroup>) -> absl::StatusOr<UpdateReport> {
    return UpdateReport{.policy_version = trainer_.version,
                        .skipped_updates = 1,
                        .skip_reason = "gradient of lm_head is nan"};
  };
  config_.run.steps = 1;
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  EXPECT_THAT(console_.warnings, testing::Contains(testing::HasSubstr("lm_head")));
  EXPECT_EQ(Metric(*store_, 1, "optimizer/skipped_updates"), 1);
}

TEST_F(TrainLoopTest, TheColdStartComesFirstInBatches) {
  config_.sft.batch = 2;
  config_.sft.epochs = 2;
  config_.run.steps = 1;
  const std::vector<SftExample> examples(5, {.prompt_ids = {1}, .completion_ids = {2, 0}});
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run(examples, false).ok());
  EXPECT_THAT(trainer_.supervised, testing::ElementsAre(2, 2, 1, 2, 2, 1));
  EXPECT_EQ(*store_->LastStep("sft"), 6);
  EXPECT_EQ(trainer_.phases, 2);
}

TEST_F(TrainLoopTest, AnInterruptKeepsTheFinishedSteps) {
  trainer_.on_update = [this](std::span<const ScoredGroup>) -> absl::StatusOr<UpdateReport> {
    cancelled_ = true;
    return UpdateReport{.policy_version = trainer_.version + 1};
  };
  config_.run.checkpoint_every = 0;
  const TrainSummary summary = *TrainLoop(config_, Parts()).Run({}, false);
  EXPECT_TRUE(summary.cancelled);
  EXPECT_EQ(summary.last_step, 1);
  EXPECT_EQ(trainer_.saved.back(), directory_->CheckpointPath({.phase = "step", .step = 1}));
}

TEST_F(TrainLoopTest, ResumingGoesOnBehindTheNewestCheckpointAndDoesLaterStepsAgain) {
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  // The fake writes no folders: only this checkpoint is there.
  ASSERT_TRUE(std::filesystem::create_directories(
      directory_->CheckpointPath({.phase = "step", .step = 1})));
  trainer_.updates.clear();
  const TrainSummary summary = *TrainLoop(config_, Parts()).Run({}, true);
  EXPECT_EQ(summary.last_step, 2);
  EXPECT_EQ(trainer_.loaded.size(), 1u);
  ASSERT_EQ(trainer_.updates.size(), 1u);
  EXPECT_EQ(trainer_.updates[0][0].group.task.id, "t3");
  EXPECT_EQ(store_->ReadCompletions("train", 1)->size(), 12u);
  EXPECT_EQ(store_->ReadCompletions("train", 2)->size(), 12u);
}

}  // namespace
}  // namespace ponder
