#include "app/step_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verifiers/fake_verifier.h"

namespace ponder {
namespace {

// Hands over what a test says, when it says it. Batches are numbered from 1 on.
class ScriptedSource : public GroupSource {
 public:
  absl::StatusOr<BatchId> Begin(GroupBatch batch) override {
    batches_.push_back({.batch = std::move(batch)});
    return batches_.size();
  }
  // Each call does the next thing of the script.
  absl::StatusOr<bool> Work() override {
    if (next_ == script.size()) return false;
    script[next_++]();
    return true;
  }
  void Wake() override { ++wakes; }
  BatchProgress Progress(BatchId batch) const override {
    const Entry& entry = batches_.at(batch - 1);
    return {.done = entry.delivered, .total = std::ssize(entry.batch.requests)};
  }
  absl::StatusOr<GenerateStats> End(BatchId batch) override {
    ended.push_back(batch);
    return GenerateStats{};
  }
  std::vector<WorkerLoad> Workers() const override { return {}; }
  absl::Status PublishWeights(int64_t) override { return absl::OkStatus(); }

  void Deliver(BatchId batch, size_t index) {
    Entry& entry = batches_.at(batch - 1);
    ++entry.delivered;
    entry.batch.on_group(index, {.task = entry.batch.requests[index].task,
                                 .completions = {{.finish = FinishReason::kStop}}});
  }

  std::vector<std::function<void()>> script;
  std::vector<BatchId> ended;
  std::atomic<int64_t> wakes = 0;

 private:
  struct Entry {
    GroupBatch batch;
    int64_t delivered = 0;
  };

  std::vector<Entry> batches_;
  size_t next_ = 0;
};

std::vector<GroupRequest> Requests(const std::vector<std::string>& ids) {
  std::vector<GroupRequest> requests;
  for (const std::string& id : ids) requests.push_back({.task = {.id = id}, .completions = 1});
  return requests;
}

class StepPipelineTest : public testing::Test {
 protected:
  StepPipelineTest()
      : verifier_([this](const VerifyItem& item) {
          judged_.push_back(item.task.id);
          return Verdict{.status = VerdictStatus::kCorrect};
        }) {}

  StepPipeline::Parts Parts() {
    return {
        .groups = &source_, .verifier = &verifier_, .judge = {.max_retries = 0}, .clock = &clock_};
  }

  ScriptedSource source_;
  std::vector<std::string> judged_;  // in order; read when all verdicts are there
  FakeVerifier verifier_;
  FakeClock clock_;
};

TEST_F(StepPipelineTest, GroupsOfALaterStepAreJudgedWhileAnEarlierOneMissesCompletions) {
  StepPipeline pipeline(Parts());
  ASSERT_TRUE(pipeline.Begin(1, Requests({"a"}), 0).ok());
  ASSERT_TRUE(pipeline.Begin(2, Requests({"b", "c"}), 0).ok());
  source_.script = {[&] { source_.Deliver(2, 1); }, [&] { source_.Deliver(2, 0); },
                    [&] { EXPECT_TRUE(verifier_.WaitForCalls(2)); },
                    [&] { source_.Deliver(1, 0); }};
  const auto first = pipeline.Collect(1, nullptr, nullptr);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->groups.at(0).group.task.id, "a");
  const auto second = pipeline.Collect(2, nullptr, nullptr);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->groups.at(0).group.task.id, "b");
  EXPECT_EQ(second->groups.at(1).group.task.id, "c");
  EXPECT_THAT(judged_, testing::ElementsAre("c", "b", "a"));
  EXPECT_THAT(source_.ended, testing::ElementsAre(1, 2));
}

TEST_F(StepPipelineTest, TheOldestStepIsJudgedFirst) {
  StepPipeline pipeline(Parts());
  ASSERT_TRUE(pipeline.Begin(1, Requests({"a"}), 0).ok());
  ASSERT_TRUE(pipeline.Begin(2, Requests({"b", "c"}), 0).ok());
  verifier_.Hang();
  source_.script = {[&] { source_.Deliver(2, 0); }, [&] { EXPECT_TRUE(verifier_.WaitForCalls(1)); },
                    [&] { source_.Deliver(2, 1); }, [&] { source_.Deliver(1, 0); },
                    [&] { verifier_.Release(); }};
  ASSERT_TRUE(pipeline.Collect(1, nullptr, nullptr).ok());
  ASSERT_TRUE(pipeline.Collect(2, nullptr, nullptr).ok());
  EXPECT_THAT(judged_, testing::ElementsAre("b", "a", "c"));
}

TEST_F(StepPipelineTest, TheLastVerdictOfAStepWakesTheSource) {
  StepPipeline pipeline(Parts());
  ASSERT_TRUE(pipeline.Begin(1, Requests({"a", "b"}), 0).ok());
  source_.script = {[&] { source_.Deliver(1, 0); }, [&] { EXPECT_TRUE(verifier_.WaitForCalls(1)); },
                    [&] { EXPECT_EQ(source_.wakes, 0); }, [&] { source_.Deliver(1, 1); }};
  ASSERT_TRUE(pipeline.Collect(1, nullptr, nullptr).ok());
  ASSERT_TRUE(pipeline.Begin(2, Requests({"c"}), 0).ok());
  source_.script.push_back([&] { source_.Deliver(2, 0); });
  ASSERT_TRUE(pipeline.Collect(2, nullptr, nullptr).ok());
  EXPECT_GE(source_.wakes, 1);
}

TEST_F(StepPipelineTest, AVerifierThatWillNotComeBackEndsTheWait) {
  StepPipeline pipeline(Parts());
  ASSERT_TRUE(pipeline.Begin(1, Requests({"a", "b"}), 0).ok());
  verifier_.NextCallReturns(absl::FailedPreconditionError("restarts used up"));
  source_.script = {[&] { source_.Deliver(1, 0); }};
  EXPECT_EQ(pipeline.Collect(1, nullptr, nullptr).status().message(), "restarts used up");
}

TEST_F(StepPipelineTest, WhatIsUnderWayAtTheEndIsWithdrawn) {
  {
    StepPipeline pipeline(Parts());
    ASSERT_TRUE(pipeline.Begin(1, Requests({"a"}), 0).ok());
    ASSERT_TRUE(pipeline.Begin(2, Requests({"b"}), 0).ok());
    const auto cancelled = pipeline.Collect(1, nullptr, [] { return true; });
    EXPECT_TRUE(absl::IsCancelled(cancelled.status()));
  }
  EXPECT_THAT(source_.ended, testing::ElementsAre(1, 2));
}

}  // namespace
}  // namespace ponder
