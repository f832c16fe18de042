#include "app/run_monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

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
  monitor.SeeWorkers({{.name = "a", .version = 4, .running = 10, .capacity = 8}, {.name = "b"}});
  monitor.SeeWorkers({{.name = "a"}});
  EXPECT_EQ(reader_->Workers()->at(1).state, "idle") << "too soon to be written";
  clock_.Advance(RunMonitor::kInterval);
  monitor.SeeWorkers({{.name = "a", .version = 4, .running = 10, .capacity = 8}});
  const std::vector<WorkerRecord> workers = *reader_->Workers();
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].state, "working");
  EXPECT_EQ(workers[0].running, 8);
  EXPECT_EQ(workers[0].waiting, 2);
  EXPECT_EQ(workers[0].policy_version, 4);
  EXPECT_EQ(workers[1].state, "left");
  monitor.SeeWorkers({});
  EXPECT_EQ(reader_->Workers()->at(0).state, "left") << "the end is written at once";
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
