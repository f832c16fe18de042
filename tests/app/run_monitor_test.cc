#include "app/run_monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "observe/run_reader.h"

namespace ponder {
namespace {

class SilentConsole : public Console {
 public:
  void Say(const std::string& line) override { lines.push_back(line); }
  void Warn(const std::string& line) override { lines.push_back("warning: " + line); }
  void Progress(const std::string&, int64_t, int64_t) override {}
  std::vector<std::string> lines;
};

class ScriptedGroups : public GroupSource {
 public:
  absl::StatusOr<BatchId> Begin(GroupBatch) override { return 0; }
  absl::StatusOr<bool> Work() override { return false; }
  void Wake() override {}
  BatchProgress Progress(BatchId) const override { return {}; }
  absl::StatusOr<GenerateStats> End(BatchId) override { return GenerateStats(); }
  std::vector<WorkerLoad> Workers() const override { return workers; }
  absl::Status PublishWeights(int64_t) override { return absl::OkStatus(); }

  std::vector<WorkerLoad> workers;
};

class RunMonitorTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/run_monitor_" + std::to_string(getpid()) +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ".db";
    std::filesystem::remove(path_);
    store_ = *RunStore::Open(path_, RunStore::Mode::kCreate);
    reader_ = *RunReader::Open(path_);
  }
  void TearDown() override {
    store_.reset();
    reader_.reset();
    std::filesystem::remove(path_);
  }

  WorkerRecord Worker(const std::string& name) {
    const std::vector<WorkerRecord> workers = *reader_->Workers();
    const auto found = std::ranges::find(workers, name, &WorkerRecord::name);
    if (found != workers.end()) return *found;
    ADD_FAILURE() << "no worker " << name;
    return {};
  }

  std::string path_;
  std::unique_ptr<RunStore> store_;
  std::unique_ptr<RunReader> reader_;
  SilentConsole console_;
  FakeClock clock_;
};

TEST_F(RunMonitorTest, SaysWhatTheRunDoesAndHowFarItIs) {
  RunMonitor monitor(*store_, console_, clock_);
  monitor.Begin("generating", 3, 9);
  EXPECT_EQ(reader_->State()->activity, "generating");
  EXPECT_TRUE(std::isnan(reader_->State()->left_s));
  monitor.SetTimeLeft(60);
  monitor.Progress(1, 8);
  EXPECT_EQ(reader_->State()->done, 0) << "too soon to be written";
  clock_.Advance(RunMonitor::kInterval);
  monitor.Progress(2, 8);
  EXPECT_EQ(reader_->State()->done, 2);
  EXPECT_EQ(reader_->State()->total, 8);
  EXPECT_EQ(reader_->State()->left_s, 60);
  monitor.Progress(8, 8);
  EXPECT_EQ(reader_->State()->done, 8);
  monitor.Begin("evaluating", 3, 9, "step 3");
  EXPECT_EQ(reader_->State()->detail, "step 3");
  EXPECT_EQ(reader_->State()->done, 0);
  EXPECT_EQ(reader_->State()->left_s, 60);
}

TEST_F(RunMonitorTest, KeepsTheWorkersThatAreHereAndThoseThatLeft) {
  RunMonitor monitor(*store_, console_, clock_);
  ScriptedGroups groups;
  monitor.WatchGroups(groups);
  groups.workers = {{.name = "a", .version = 4, .running = 10, .capacity = 8, .done = 3},
                    {.name = "b"}};
  monitor.Begin("generating", 1, 9);
  EXPECT_EQ(reader_->State()->workers, 2);
  groups.workers = {groups.workers[0]};
  monitor.Progress(1, 8);
  EXPECT_EQ(Worker("b").state, "idle") << "too soon to be written";
  clock_.Advance(RunMonitor::kInterval);
  monitor.Progress(2, 8);
  EXPECT_EQ(Worker("a").state, "working");
  EXPECT_EQ(Worker("a").running, 8);
  EXPECT_EQ(Worker("a").waiting, 2);
  EXPECT_EQ(Worker("a").policy_version, 4);
  EXPECT_EQ(Worker("a").busy, 1);
  EXPECT_EQ(Worker("a").done, 3);
  EXPECT_EQ(Worker("b").state, "left");
  EXPECT_EQ(reader_->State()->workers, 1);
  monitor.EndWorkers("the run is finished");
  EXPECT_EQ(Worker("a").state, "left");
  EXPECT_EQ(Worker("a").last_words, "the run is finished");
  EXPECT_EQ(Worker("a").running, 0);
  EXPECT_EQ(Worker("b").last_words, "") << "it had left before";
}

TEST_F(RunMonitorTest, KeepsTheLastWordsOfAWorkerThatWasLostHarmlessAndShort) {
  RunMonitor monitor(*store_, console_, clock_);
  ScriptedGroups groups;
  monitor.WatchGroups(groups);
  groups.workers = {{.name = "a\033[2J", .capacity = 8}};
  monitor.Begin("generating", 1, 9);
  groups.workers.clear();
  // Nothing goes on any more, but it is written at once.
  monitor.SeeGone({.name = "a\033[2J", .running = 8, .capacity = 8}, /*in_order=*/false,
                  "cannot\ngo\x1b[31m on" + std::string(100'000, 'x'));
  const WorkerRecord lost = Worker("a?[2J");
  EXPECT_EQ(lost.state, "lost");
  EXPECT_EQ(lost.running, 0);
  EXPECT_TRUE(lost.last_words.starts_with("cannot go?[31m on")) << lost.last_words;
  EXPECT_LT(lost.last_words.size(), 400u);
  EXPECT_EQ(reader_->State()->workers, 0);
  monitor.SeeGone({.name = "b"}, /*in_order=*/true, "it was stopped");
  EXPECT_EQ(Worker("b").state, "left") << "also where nobody saw it before";
  clock_.Advance(RunMonitor::kInterval);
  monitor.Progress(1, 8);
  EXPECT_EQ(Worker("a?[2J").state, "lost") << "it stays as it went";
}

TEST_F(RunMonitorTest, ShowsWhatTheLearnerDoesAndHowMuchOfItsTimeThatTakes) {
  RunMonitor monitor(*store_, console_, clock_);
  monitor.SetLearner("ponder 1", "here", "avx", 0);
  EXPECT_EQ(Worker("learner").role, "learner");
  EXPECT_EQ(Worker("learner").software, "ponder 1");
  EXPECT_EQ(Worker("learner").state, "idle");
  for (int step = 1; step <= 2; ++step) {
    monitor.Begin("generating", step, 9);
    EXPECT_EQ(Worker("learner").state, "idle");
    clock_.Advance(absl::Seconds(6));
    monitor.Begin("learning", step, 9);
    EXPECT_EQ(Worker("learner").state, "working");
    clock_.Advance(absl::Seconds(2));
    monitor.Learnt(step, 100);
  }
  EXPECT_EQ(Worker("learner").busy, 0.25);
  monitor.Begin("evaluating", 2, 9);
  EXPECT_EQ(Worker("learner").done, 200);
  EXPECT_EQ(Worker("learner").policy_version, 2);
  monitor.EndWorkers("the run was stopped");
  EXPECT_EQ(Worker("learner").state, "left");
}

TEST_F(RunMonitorTest, WritesAVerifierAtOnceWhereItHasLastWords) {
  RunMonitor monitor(*store_, console_, clock_);
  WorkerRecord verifier{.name = "verifier", .role = "verifier", .done = 1, .state = "idle"};
  monitor.See(verifier);
  EXPECT_EQ(Worker("verifier").done, 1);
  verifier.done = 2;
  monitor.See(verifier);
  EXPECT_EQ(Worker("verifier").done, 1) << "that can wait";
  verifier.restarts = 1;
  verifier.last_words = "restarted";
  monitor.See(verifier);
  EXPECT_EQ(Worker("verifier").done, 2);
  EXPECT_EQ(Worker("verifier").restarts, 1);
  EXPECT_EQ(reader_->State()->workers, 0) << "it does not generate";
  monitor.EndWorkers("the run is finished");
  EXPECT_EQ(Worker("verifier").last_words, "restarted");
  EXPECT_EQ(Worker("verifier").state, "left");
}

TEST_F(RunMonitorTest, NotesEventsOfTheStepUnderWay) {
  RunMonitor monitor(*store_, console_, clock_);
  monitor.Begin("generating", 3, 9);
  monitor.Note("worker", "joined");
  monitor.Warn("verifier", "restarted");
  EXPECT_EQ(console_.lines, (std::vector<std::string>{"joined", "warning: restarted"}));
  const std::vector<TimedEvent> events = *reader_->Events(0);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].event.step, 3);
  EXPECT_EQ(events[0].event.kind, "worker");
  EXPECT_EQ(events[1].event.message, "restarted");
}

}  // namespace
}  // namespace ponder
