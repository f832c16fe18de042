#include "app/rescore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "app/part_metrics.h"
#include "verifiers/fake_verifier.h"

namespace ponder {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

// Steps 1 and 2 with a group of two: "7" is CORRECT, "8" is WRONG; rewards 1 and 0.
class RescoreTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/rescore_" + std::to_string(getpid()) + ".db";
    std::filesystem::remove(path_);
    store_ = *RunStore::Open(path_, RunStore::Mode::kCreate);
    for (int64_t step = 1; step <= 2; ++step) {
      ScoredGroup group;
      group.group.task = {.id = "t", .gold = "7"};
      group.group.completions = {{.sample_index = 0, .finish = FinishReason::kStop, .text = "7"},
                                 {.sample_index = 1, .finish = FinishReason::kStop, .text = "8"}};
      group.verdicts = {{.status = VerdictStatus::kCorrect, .score = 1},
                        {.status = VerdictStatus::kWrong}};
      group.verdicts[1].parts["audit/b/disputed"] = step == 2 ? 1 : 0;
      group.rewards = {{.total = 1}, {.total = 0}};
      group.advantages = {1, -1};
      ASSERT_TRUE(store_->WriteStep({.step = step, .groups = {group}}).ok());
    }
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove(path_);
  }

  absl::StatusOr<Rescored> Run(Verifier& verifier, RescoreOptions options = {}) {
    return RescoreRun(*store_, verifier, options, [](int64_t, int64_t) {});
  }

  std::string path_;
  std::unique_ptr<RunStore> store_;
};

TEST_F(RescoreTest, CountsAgreementListsDisputesAndDrawsTheRewardAsItWouldHaveBeen) {
  FakeVerifier generous(
      [](const VerifyItem&) -> Verdict { return {.status = VerdictStatus::kCorrect, .score = 1}; });
  const absl::StatusOr<Rescored> rescored =
      Run(generous, {.max_disputed = 1, .reward = {.correct_weight = 2}});
  ASSERT_TRUE(rescored.ok()) << rescored.status();
  using enum VerdictStatus;
  EXPECT_THAT(rescored->table, UnorderedElementsAre(Pair(std::pair(kCorrect, kCorrect), 2),
                                                    Pair(std::pair(kWrong, kCorrect), 2)));
  EXPECT_EQ(rescored->judged, 4);
  EXPECT_EQ(rescored->agreed, 2);
  EXPECT_EQ(rescored->disputed_count, 2);
  ASSERT_EQ(rescored->disputed.size(), 1u);
  EXPECT_EQ(rescored->disputed[0].step, 1);
  EXPECT_EQ(rescored->disputed[0].was.status, kWrong);
  EXPECT_EQ(rescored->disputed[0].now.status, kCorrect);
  ASSERT_EQ(rescored->steps.size(), 2u);
  EXPECT_EQ(rescored->steps[1].reward_was, 0.5);
  EXPECT_EQ(rescored->steps[1].reward_now, 2);
  EXPECT_EQ(rescored->steps[1].correct_was, 0.5);
  EXPECT_EQ(rescored->steps[1].correct_now, 1);
}

TEST_F(RescoreTest, WhatIsInternalIsJudgedAgainAndAtLastLeftOut) {
  int calls_on_eight = 0;
  FakeVerifier broken([&](const VerifyItem& item) -> Verdict {
    if (item.completion == "8") {
      ++calls_on_eight;
      return {.status = VerdictStatus::kInternal};
    }
    return {.status = VerdictStatus::kCorrect, .score = 1};
  });
  broken.NextCallReturns(absl::UnavailableError("gone"));
  const absl::StatusOr<Rescored> rescored = Run(broken, {.max_retries = 2});
  ASSERT_TRUE(rescored.ok()) << rescored.status();
  EXPECT_EQ(rescored->judged, 2);
  EXPECT_EQ(rescored->unjudged, 2);
  EXPECT_EQ(rescored->disputed_count, 0);
  EXPECT_EQ(calls_on_eight, 2 + 3);             // the first call of step 1 failed as a whole
  EXPECT_EQ(rescored->steps[0].reward_was, 1);  // over those with a verdict
}

TEST_F(RescoreTest, AnEmptyPhaseAndADeadVerifierAreErrors) {
  FakeVerifier verifier;
  EXPECT_TRUE(absl::IsNotFound(Run(verifier, {.phase = "eval/train"}).status()));
  verifier.NextCallReturns(absl::FailedPreconditionError("gone for good"));
  EXPECT_TRUE(absl::IsFailedPrecondition(Run(verifier).status()));
}

TEST_F(RescoreTest, TheStoreFindsWhatAuditsDispute) {
  const auto disputed = store_->ReadMarked("train", "audit/", "/disputed", 10);
  ASSERT_TRUE(disputed.ok()) << disputed.status();
  ASSERT_EQ(disputed->size(), 1u);
  EXPECT_EQ((*disputed)[0].step, 2);
  EXPECT_EQ((*disputed)[0].completion.text, "8");
  EXPECT_TRUE(store_->ReadMarked("train", "audit/", "/disputed", 0)->empty());
  EXPECT_TRUE(store_->ReadMarked("eval/train", "audit/", "/disputed", 10)->empty());
  EXPECT_TRUE(store_->ReadMarked("train", "other/", "/disputed", 10)->empty());
}

TEST(PartMetricsTest, MeansOfPartsAndRatesOfAudits) {
  ScoredGroup group;
  group.verdicts = {{.parts = {{"format", 1}, {"audit/b", 1}, {"audit/b/disputed", 0}}},
                    {.parts = {{"format", 0}, {"audit/b", 0}, {"audit/b/disputed", 1}}},
                    {.parts = {{"format", 0}, {"audit/b/failed", 1}, {"short", 0.5}}},
                    {}};
  Metrics metrics;
  AddPartMetrics(std::vector{group}, metrics);
  EXPECT_THAT(metrics, ElementsAre(Pair("audit/b_disagreement", 0.5), Pair("audit/b_failed", 1),
                                   Pair("audit/b_looked_at", 2), Pair("part/format", 1.0 / 3),
                                   Pair("part/short", 0.5)));
}

}  // namespace
}  // namespace ponder
