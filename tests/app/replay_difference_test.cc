#include "app/replay_difference.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ponder {
namespace {

Completion Recorded() {
  return {.token_ids = {5, 6, 7},
          .sampled_mask = {1, 1, 1},
          .logprobs = {-1.0f, -0.5f, 0.0f},
          .finish = FinishReason::kStop,
          .text = "abc"};
}

TEST(CompareCompletionsTest, EqualOnesHaveNoDifference) {
  EXPECT_FALSE(CompareCompletions(Recorded(), Recorded()).has_value());
  Completion other = Recorded();
  other.entropies = {1, 2, 3};  // are not compared
  EXPECT_FALSE(CompareCompletions(Recorded(), other).has_value());
}

TEST(CompareCompletionsTest, NamesTheFirstOtherTokenAndLogProbsBeforeItAlone) {
  Completion found = Recorded();
  found.token_ids[1] = 9;
  found.logprobs = {-1.0f, -3.0f, -4.0f};
  const std::optional<ReplayDifference> difference = CompareCompletions(Recorded(), found);
  ASSERT_TRUE(difference.has_value());
  EXPECT_EQ(difference->token, 1);
  EXPECT_EQ(difference->logprob_token, std::nullopt);
  EXPECT_EQ(difference->logprob_max_abs_diff, 0);
}

TEST(CompareCompletionsTest, FindsTheLastBitOfALogProb) {
  Completion found = Recorded();
  found.logprobs[1] = std::nextafter(found.logprobs[1], -1.0f);
  found.logprobs[2] = -0.0f;
  const std::optional<ReplayDifference> difference = CompareCompletions(Recorded(), found);
  ASSERT_TRUE(difference.has_value());
  EXPECT_EQ(difference->token, std::nullopt);
  EXPECT_EQ(difference->logprob_token, 1);
  EXPECT_GT(difference->logprob_max_abs_diff, 0);
  found.logprobs[1] = Recorded().logprobs[1];
  EXPECT_EQ(CompareCompletions(Recorded(), found)->logprob_token, 2);  // of zeros, the sign
}

TEST(CompareCompletionsTest, AnEndThatComesEarlierIsADifferenceAtItsPlace) {
  Completion found = Recorded();
  found.token_ids.pop_back();
  found.logprobs.pop_back();
  EXPECT_EQ(CompareCompletions(Recorded(), found)->token, 2);
  EXPECT_EQ(CompareCompletions(found, Recorded())->token, 2);
}

TEST(CompareCompletionsTest, FinishAndTextAreLookedAtToo) {
  Completion found = Recorded();
  found.text = "abd";
  EXPECT_EQ(CompareCompletions(Recorded(), found)->field, "text");
  found.finish = FinishReason::kLength;
  EXPECT_EQ(CompareCompletions(Recorded(), found)->field, "finish");
}

}  // namespace
}  // namespace ponder
