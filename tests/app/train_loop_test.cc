// The loop with a fake at every seam.
#include "app/train_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "learner/fake_trainer.h"
#include "rollout/fake_engine.h"
#include "rollout/fake_step_runner.h"
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
  void SetRewards(const std::vector<double>& before) override { rewards = before; }
  void ShowSample(const ConsoleSample& sample) override { samples.push_back(sample); }
  std::vector<std::string> lines, warnings;
  std::vector<double> rewards;
  std::vector<ConsoleSample> samples;
};

// Writes down what is begun and published, in order.
class RecordingSource : public GroupSource {
 public:
  explicit RecordingSource(GroupSource& source) : source_(source) {}

  absl::StatusOr<BatchId> Begin(GroupBatch batch) override {
    calls.push_back(fmt::format("{} at {}", batch.requests[0].task.id, batch.version));
    const absl::StatusOr<BatchId> id = source_.Begin(std::move(batch));
    if (id.ok()) open_.insert(*id);
    return id;
  }
  absl::StatusOr<bool> Work() override {
    if (rests_behind_whole_batches && Progress(*open_.begin()).Whole()) return false;
    return source_.Work();
  }
  void Wake() override { source_.Wake(); }
  std::vector<WorkerLoad> Workers() const override { return source_.Workers(); }
  BatchProgress Progress(BatchId batch) const override { return source_.Progress(batch); }
  absl::StatusOr<GenerateStats> End(BatchId batch) override {
    open_.erase(batch);
    return source_.End(batch);
  }
  absl::Status PublishWeights(int64_t version) override {
    calls.push_back(fmt::format("publish {}", version));
    return source_.PublishWeights(version);
  }

  std::vector<std::string> calls;
  // Whether the oldest batch waits for its verdicts with the engine at rest: else how far later
  // ones come meanwhile depends on who is faster.
  bool rests_behind_whole_batches = false;

 private:
  GroupSource& source_;
  std::set<BatchId> open_;
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
    monitor_.emplace(*store_, console_, clock_);
    return {.train_tasks = &tasks_,
            .prompts = &*prompts_,
            .groups = groups_.get(),
            .verifier = &verifier_,
            .advantage = advantage_.get(),
            .trainer = &trainer_,
            .store = store_.get(),
            .monitor = &*monitor_,
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
  std::optional<RunMonitor> monitor_;
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

TEST_F(TrainLoopTest, RequestsOfLaterStepsAreSubmittedAsFarAheadAsStalenessAllows) {
  config_.run.steps = 4;
  config_.rollout.prompts_per_step = 1;
  const std::vector<std::string> expected[] = {
      {"publish 0", "t0 at 0", "publish 1", "t1 at 1", "publish 2", "t2 at 2", "publish 3",
       "t3 at 3", "publish 4"},
      {"publish 0", "t0 at 0", "t1 at 0", "publish 1", "t2 at 1", "publish 2", "t3 at 2",
       "publish 3", "publish 4"},
      {"publish 0", "t0 at 0", "t1 at 0", "t2 at 0", "publish 1", "t3 at 1", "publish 2",
       "publish 3", "publish 4"}};
  for (int64_t staleness = 0; staleness < 3; ++staleness) {
    TearDown();
    SetUp();
    config_.run.steps = 4;
    config_.rollout.prompts_per_step = 1;
    config_.rollout.max_staleness = staleness;
    trainer_.version = 0;
    RecordingSource source(*groups_);
    TrainParts parts = Parts();
    parts.groups = &source;
    ASSERT_EQ(TrainLoop(config_, parts).Run({}, false)->last_step, 4);
    EXPECT_EQ(source.calls, expected[staleness]) << "max_staleness " << staleness;
  }
}

TEST_F(TrainLoopTest, ATokenOlderThanStalenessAllowsIsNeverTrainedOn) {
  config_.run.steps = 3;
  config_.rollout.prompts_per_step = 1;
  // A sampler that lies about the third step, whose update starts from version 2.
  engine_ = CreateFakeEngine(
      {.script = [](const RolloutRequest& request, int64_t sample, int64_t version) {
        return Completion{.token_ids = {65, 66},
                          .versions = {{0, request.task_id == "t2" ? 0 : version}},
                          .text = sample % 2 == 0 ? request.task_id.substr(1) : "no"};
      }});
  for (int64_t staleness = 0; staleness < 3; ++staleness) {
    TearDown();
    directory_.emplace(*RunDirectory::Create(path_, ""));
    store_ = *RunStore::Open(directory_->StorePath(), RunStore::Mode::kCreate);
    groups_ = CreateLocalGroupSource(*engine_);
    trainer_.version = 0;
    trainer_.updates.clear();
    config_.rollout.max_staleness = staleness;
    const absl::Status status = TrainLoop(config_, Parts()).Run({}, false).status();
    if (staleness == 2) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(trainer_.updates.size(), 3u);
    } else {
      EXPECT_TRUE(absl::IsInternal(status)) << status;
      EXPECT_THAT(std::string(status.message()), testing::HasSubstr("none may be older"));
      EXPECT_EQ(trainer_.updates.size(), 2u);
    }
  }
}

TEST_F(TrainLoopTest, WorkersOfOtherNumericsAreCorrectedForInTheirStepsAndSaidOnce) {
  config_.run.steps = 3;
  class Source : public RecordingSource {
   public:
    using RecordingSource::RecordingSource;
    absl::StatusOr<GenerateStats> End(BatchId batch) override {
      absl::StatusOr<GenerateStats> stats = RecordingSource::End(batch);
      if (stats.ok()) stats->fingerprints_differ = ended_++ > 0;
      return stats;
    }

   private:
    int64_t ended_ = 0;
  } source(*groups_);
  TrainParts parts = Parts();
  parts.groups = &source;
  ASSERT_EQ(TrainLoop(config_, parts).Run({}, false)->last_step, 3);
  EXPECT_EQ(trainer_.numerics, std::vector({SamplerNumerics::kSame, SamplerNumerics::kDiffer,
                                            SamplerNumerics::kDiffer}));
  ASSERT_EQ(console_.warnings.size(), 1u);
  EXPECT_THAT(console_.warnings[0], testing::HasSubstr("weigh at most 2"));
  const std::vector<EventRecord> events = *store_->ReadEvents();
  EXPECT_EQ(std::ranges::count(events, "numerics_differ", &EventRecord::kind), 1);
}

TEST_F(TrainLoopTest, SaysInWordsWhatGoesWrongOnceAndNotAgainWhenResumed) {
  config_.run.steps = 9;
  engine_ = CreateFakeEngine({.script = [](const RolloutRequest&, int64_t, int64_t) {
    return Completion{.token_ids = {65, 66}, .text = "no"};
  }});
  groups_ = CreateLocalGroupSource(*engine_);
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  const auto told = [&] {
    std::vector<EventRecord> events = *store_->ReadEvents();
    std::erase_if(events, [](const EventRecord& event) { return event.kind != "no_signal_hard"; });
    return events;
  };
  ASSERT_EQ(told().size(), 1u);
  EXPECT_EQ(told()[0].step, 3);
  EXPECT_THAT(told()[0].message, testing::HasSubstr("the tasks are too hard. Try: easier tasks"));
  EXPECT_THAT(console_.warnings, testing::ElementsAre(told()[0].message));

  ASSERT_TRUE(std::filesystem::create_directories(
      directory_->CheckpointPath({.phase = "step", .step = 4})));
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, true).ok());
  EXPECT_EQ(told().size(), 1u);
}

TEST_F(TrainLoopTest, SinksGetTheCompletionsOfTrainingSteps) {
  class Sink : public MetricSink {
   public:
    absl::Status WriteStep(int64_t step, const Metrics&) override {
      calls.push_back(fmt::format("step {}", step));
      return absl::OkStatus();
    }
    absl::Status WriteGroups(int64_t step, std::span<const ScoredGroup> groups) override {
      calls.push_back(fmt::format("{} groups of step {}", groups.size(), step));
      return absl::OkStatus();
    }
    std::vector<std::string> calls;
  } sink;
  TrainParts parts = Parts();
  parts.sinks = {&sink};
  ASSERT_TRUE(TrainLoop(config_, parts).Run({}, false).ok());
  EXPECT_THAT(sink.calls,
              testing::ElementsAre("step 1", "3 groups of step 1", "step 2", "3 groups of step 2"));
}

TEST_F(TrainLoopTest, GroupsAreJudgedWhileOthersAreGenerated) {
  config_.run.steps = 1;
  engine_ =
      CreateFakeEngine({.script = [this](const RolloutRequest& request, int64_t sample, int64_t) {
        if (request.task_id == "t2" && sample == 3) {
          EXPECT_TRUE(verifier_.WaitForCalls(2));
        }
        return Completion{.token_ids = {65}, .text = sample == 0 ? request.task_id : "no"};
      }});
  groups_ = CreateLocalGroupSource(*engine_);
  EXPECT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
}

TEST_F(TrainLoopTest, ASlowVerdictDoesNotKeepTheNextStepFromBeingGenerated) {
  config_.rollout.max_staleness = 1;
  engine_ =
      CreateFakeEngine({.script = [this](const RolloutRequest& request, int64_t sample, int64_t) {
        // The last completion of step 2: only now does the verifier answer about step 1.
        if (request.task_id == "t5" && sample == 3) verifier_.Release();
        return Completion{.token_ids = {65}, .text = sample == 0 ? request.task_id : "no"};
      }});
  groups_ = CreateLocalGroupSource(*engine_);
  verifier_.Hang();
  EXPECT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  ASSERT_EQ(trainer_.updates.size(), 2u);
  EXPECT_EQ(trainer_.updates[1][0].group.completions[0].versions[0].version, 0)
      << "step 2 was generated before the update of step 1";
}

TEST_F(TrainLoopTest, WeightsSwappedInFlightAreRecordedPerToken) {
  const StepRunnerInfo info{.fingerprint = "fake",
                            .vocabulary = 300,
                            .drawable_tokens = 257,
                            .max_positions = 1000,
                            .pages = 64};
  auto owned = std::make_unique<FakeStepRunner>(info);
  FakeStepRunner& runner = *owned;
  // Five places for twelve completions a step: some of step 2 are under way when step 1 ends.
  engine_ =
      *CreateEngineOver(std::move(owned), tokenizer_, {.max_sequences = 5, .max_step_tokens = 64});
  groups_ = CreateLocalGroupSource(*engine_);
  trainer_.on_update = [&](std::span<const ScoredGroup>) -> absl::StatusOr<UpdateReport> {
    runner.SetWeights(trainer_.version + 1);
    return UpdateReport{.policy_version = trainer_.version + 1};
  };
  config_.rollout.max_staleness = 1;
  config_.rollout.max_new_tokens = 40;
  config_.run.steps = 3;
  RecordingSource source(*groups_);
  source.rests_behind_whole_batches = true;
  TrainParts parts = Parts();
  parts.groups = &source;
  ASSERT_TRUE(TrainLoop(config_, parts).Run({}, false).ok());
  ASSERT_EQ(trainer_.updates.size(), 3u);
  int64_t swapped = 0;
  for (int64_t step = 1; step <= 3; ++step) {
    for (const ScoredGroup& scored : trainer_.updates[step - 1]) {
      for (const Completion& completion : scored.group.completions) {
        const std::vector<VersionSpan>& versions = completion.versions;
        EXPECT_GE(versions.front().version, step - 2);
        EXPECT_LE(versions.back().version, step - 1);
        if (versions.size() == 2) {
          ++swapped;
          EXPECT_GT(versions[1].begin, 0);
          EXPECT_EQ(versions[1].version, versions[0].version + 1);
        }
      }
    }
  }
  EXPECT_GT(swapped, 0);
}

TEST_F(TrainLoopTest, AnInterruptWithLaterStepsUnderWayLeavesTheEngineEmpty) {
  config_.rollout.max_staleness = 2;
  config_.run.steps = 5;
  trainer_.on_update = [this](std::span<const ScoredGroup>) -> absl::StatusOr<UpdateReport> {
    cancelled_ = true;
    return UpdateReport{.policy_version = trainer_.version + 1};
  };
  const TrainSummary summary = *TrainLoop(config_, Parts()).Run({}, false);
  EXPECT_TRUE(summary.cancelled);
  EXPECT_EQ(summary.last_step, 1);
  EXPECT_EQ(engine_->Load().waiting, 0);
  EXPECT_TRUE(engine_->Poll().empty());
}

TEST_F(TrainLoopTest, AResumedRunGeneratesAnewWhatWasUnderWay) {
  config_.run.steps = 4;
  config_.rollout.max_staleness = 1;
  config_.learner.importance_cap = 2;
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  ASSERT_TRUE(std::filesystem::create_directories(
      directory_->CheckpointPath({.phase = "step", .step = 2})));
  trainer_.updates.clear();
  trainer_.version = 2;
  RecordingSource source(*groups_);
  TrainParts parts = Parts();
  parts.groups = &source;
  EXPECT_EQ(TrainLoop(config_, parts).Run({}, true)->last_step, 4);
  EXPECT_THAT(source.calls,
              testing::ElementsAre("publish 2", "t6 at 2", "t9 at 2", "publish 3", "publish 4"));
  ASSERT_EQ(trainer_.updates.size(), 2u);
  EXPECT_EQ(trainer_.updates[1][0].group.task.id, "t9");
  for (int64_t step = 1; step <= 4; ++step)
    EXPECT_EQ(store_->ReadCompletions("train", step)->size(), 12u) << step;
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

TEST_F(TrainLoopTest, TheSpeedOfLearningIsOfTheTokensThatWereLearntFrom) {
  trainer_.on_update = [this](std::span<const ScoredGroup>) -> absl::StatusOr<UpdateReport> {
    clock_.Advance(absl::Seconds(2));
    const int64_t version = trainer_.version + 1;
    return UpdateReport{.policy_version = version,
                        .metrics = {{"learner/target_tokens", version == 1 ? 30.0 : 0.0}}};
  };
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  EXPECT_EQ(Metric(*store_, 1, "speed/learn_tokens_per_s"), 15);
  const std::vector<StoredMetric> metrics = *store_->ReadMetrics("train");
  for (const StoredMetric& metric : metrics) {
    EXPECT_FALSE(metric.step == 2 && metric.name == "speed/learn_tokens_per_s");
  }
}

TEST_F(TrainLoopTest, WhatHasNoVerdictIsDroppedAndCounted) {
  verifier_.NextCallReturns(absl::UnavailableError("gone"));
  config_.run.steps = 1;
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  EXPECT_EQ(Metric(*store_, 1, "dropped/total"), 4);
  EXPECT_EQ(trainer_.updates[0].size(), 2u);
  EXPECT_EQ(store_->ReadCompletions("train", 1)->size(), 8u);
}

TEST_F(TrainLoopTest, TheVerifiersWordsOfWhatWasDroppedAreSaidOnce) {
  const std::vector<Verdict> wrong(4, {.status = VerdictStatus::kWrong});
  verifier_.NextCallReturns(absl::UnavailableError("gone"));
  for (int call = 0; call < 2; ++call) verifier_.NextCallReturns(wrong);
  verifier_.NextCallReturns(absl::UnavailableError("gone"));
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  EXPECT_EQ(Metric(*store_, 1, "dropped/total"), 4);
  EXPECT_EQ(Metric(*store_, 2, "dropped/total"), 4);
  EXPECT_THAT(console_.warnings,
              testing::ElementsAre("a completion was dropped: verifier unavailable: gone"));
  const std::vector<EventRecord> events = *store_->ReadEvents();
  EXPECT_EQ(std::ranges::count(events, "dropped", &EventRecord::kind), 1);
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

TEST_F(TrainLoopTest, ShowsSamplesWithTimeToReadThem) {
  ASSERT_TRUE(TrainLoop(config_, Parts()).Run({}, false).ok());
  ASSERT_EQ(console_.samples.size(), 1u);  // no time passes
  EXPECT_EQ(console_.samples[0].question, "say 1");
  EXPECT_EQ(console_.samples[0].text, "1");
  EXPECT_EQ(console_.samples[0].status, VerdictStatus::kCorrect);
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

TEST_F(TrainLoopTest, AnEvaluationThatWasInterruptedIsMadeWhenTheRunIsResumed) {
  engine_ = CreateFakeEngine(
      {.script = [this](const RolloutRequest& request, int64_t sample, int64_t version) {
        cancelled_ |= request.task_id == "t100" && version == 2;
        return Completion{.sample_index = sample, .token_ids = {65}, .text = "no"};
      }});
  groups_ = CreateLocalGroupSource(*engine_);
  TrainParts parts = Parts();
  parts.held_out = *tasks_.TasksFor(10, 10);  // t100 ... t109
  config_.eval.samples = 0;
  const TrainSummary interrupted = *TrainLoop(config_, parts).Run({}, false);
  EXPECT_TRUE(interrupted.cancelled);
  EXPECT_EQ(interrupted.last_step, 2);
  EXPECT_EQ(store_->ReadCompletions("eval/train", 2)->size(), 0u);
  ASSERT_TRUE(std::filesystem::create_directories(
      directory_->CheckpointPath({.phase = "step", .step = 2})));
  for (int i = 0; i < 2; ++i) {
    cancelled_ = false;
    trainer_.version = i == 0 ? 3 : 2;  // t100 interrupts the second time, were it asked again
    EXPECT_FALSE(TrainLoop(config_, parts).Run({}, true)->cancelled);
    EXPECT_EQ(store_->ReadCompletions("eval/train", 2)->size(), 10u);
  }
  EXPECT_EQ(trainer_.updates.size(), 2u);
}

TEST_F(TrainLoopTest, TheTimeThatAColdStartTakesDoesNotCountTheEvaluationBefore) {
  engine_ = CreateFakeEngine({.script = [this](const RolloutRequest&, int64_t sample, int64_t) {
    clock_.Advance(absl::Minutes(1));
    return Completion{.sample_index = sample, .token_ids = {65}, .text = "no"};
  }});
  groups_ = CreateLocalGroupSource(*engine_);
  TrainParts parts = Parts();
  parts.held_out = *tasks_.TasksFor(10, 3);
  config_.sft.batch = 1;
  config_.run.steps = 1;
  const std::vector<SftExample> examples(4, {.prompt_ids = {1}, .completion_ids = {2, 0}});
  ASSERT_TRUE(TrainLoop(config_, parts).Run(examples, false).ok());
  const std::vector<StoredMetric> metrics = *store_->ReadMetrics("sft");
  EXPECT_EQ(std::ranges::count(metrics, "time/left_s", &StoredMetric::name), 4);
  for (const StoredMetric& metric : metrics) {
    if (metric.name == "time/left_s") {
      EXPECT_EQ(metric.value, 0) << metric.step;
    }
  }
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
  EXPECT_EQ(console_.rewards.size(), 1u);  // of the step that is not done again
  ASSERT_EQ(trainer_.updates.size(), 1u);
  EXPECT_EQ(trainer_.updates[0][0].group.task.id, "t3");
  EXPECT_EQ(store_->ReadCompletions("train", 1)->size(), 12u);
  EXPECT_EQ(store_->ReadCompletions("train", 2)->size(), 12u);
}

}  // namespace
}  // namespace ponder
