#include "app/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verifiers/fake_verifier.h"

namespace ponder {
namespace {

using testing::ElementsAre;
using testing::Pair;

Group TwoCompletions() {
  Group group;
  group.task.gold = std::string("7");
  group.completions = {{.sample_index = 0, .finish = FinishReason::kStop, .text = "7"},
                       {.sample_index = 1, .finish = FinishReason::kStop, .text = "8"}};
  return group;
}

Verdict Internal() { return {.status = VerdictStatus::kInternal, .reason = "broke"}; }
Verdict Correct() { return {.status = VerdictStatus::kCorrect, .score = 1}; }

TEST(JudgeTest, GivesAVerdictToEachCompletion) {
  FakeVerifier verifier;
  FakeClock clock;
  const JudgedGroup judged = *JudgeGroup(verifier, TwoCompletions(), {}, clock);
  ASSERT_EQ(judged.verdicts.size(), 2u);
  EXPECT_EQ(judged.verdicts[0].status, VerdictStatus::kCorrect);
  EXPECT_EQ(judged.verdicts[1].status, VerdictStatus::kWrong);
  EXPECT_TRUE(judged.dropped.empty());
}

TEST(JudgeTest, AFailedCallIsMadeAgain) {
  FakeVerifier verifier;
  FakeClock clock;
  verifier.NextCallReturns(absl::UnavailableError("gone"));
  const JudgedGroup judged = *JudgeGroup(verifier, TwoCompletions(), {}, clock);
  EXPECT_EQ(judged.verdicts.size(), 2u);
  EXPECT_EQ(judged.retries, 1);
  EXPECT_THAT(verifier.Batches(), ElementsAre(2, 2));
}

TEST(JudgeTest, OnlyWhatHasNoVerdictIsJudgedAgain) {
  FakeVerifier verifier;
  FakeClock clock;
  verifier.NextCallReturns(std::vector<Verdict>{Internal(), Correct()});
  const JudgedGroup judged = *JudgeGroup(verifier, TwoCompletions(), {}, clock);
  EXPECT_EQ(judged.verdicts.size(), 2u);
  EXPECT_EQ(judged.verdicts[1].status, VerdictStatus::kCorrect);  // of the first call
  EXPECT_THAT(verifier.Batches(), ElementsAre(2, 1));
}

TEST(JudgeTest, WhatNeverGetsAVerdictIsDroppedAndCountedNeverScored) {
  FakeVerifier verifier;
  FakeClock clock;
  verifier.NextCallReturns(std::vector<Verdict>{Internal(), Correct()});
  for (int i = 0; i < 2; ++i) verifier.NextCallReturns(std::vector<Verdict>{Internal()});
  const JudgedGroup judged = *JudgeGroup(verifier, TwoCompletions(), {.max_retries = 2}, clock);
  ASSERT_EQ(judged.verdicts.size(), 1u);
  EXPECT_EQ(judged.group.completions[0].sample_index, 1);
  EXPECT_THAT(judged.dropped, ElementsAre(Pair("verifier internal error", 1)));
  EXPECT_THAT(judged.words, ElementsAre(Pair("verifier internal error", "broke")));
}

TEST(JudgeTest, AWrongNumberOfVerdictsIsAFailedCall) {
  FakeVerifier verifier;
  FakeClock clock;
  verifier.NextCallReturns(std::vector<Verdict>{Correct()});
  const JudgedGroup judged = *JudgeGroup(verifier, TwoCompletions(), {.max_retries = 0}, clock);
  EXPECT_TRUE(judged.verdicts.empty());
  EXPECT_THAT(judged.dropped, ElementsAre(Pair("verifier returned a wrong number of verdicts", 2)));
}

TEST(JudgeTest, AnUnfinishedCompletionIsNotJudged) {
  FakeVerifier verifier;
  FakeClock clock;
  Group group = TwoCompletions();
  group.completions[0].finish = FinishReason::kError;
  const JudgedGroup judged = *JudgeGroup(verifier, std::move(group), {}, clock);
  EXPECT_EQ(judged.verdicts.size(), 1u);
  EXPECT_THAT(judged.dropped, ElementsAre(Pair("generation error", 1)));
  EXPECT_THAT(verifier.Batches(), ElementsAre(1));
}

TEST(JudgeTest, AVerifierThatWillNotComeBackEndsTheRun) {
  FakeVerifier verifier;
  FakeClock clock;
  verifier.NextCallReturns(absl::FailedPreconditionError("restarts used up"));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(JudgeGroup(verifier, TwoCompletions(), {}, clock).status()));
}

}  // namespace
}  // namespace ponder
