#include <gtest/gtest.h>

#include <limits>

#include "app/replay.h"

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

TEST(GroupsOfTest, TheRowsOfAGroupStayTogetherThoughATaskComesTwice) {
  std::vector<StoredCompletion> rows;
  for (const auto& [group, index] : {std::pair(3, 0), {3, 2}, {4, 3}, {4, 5}}) {
    StoredCompletion row;
    row.group = group;
    row.task.id = "twice";
    row.prompt_ids = {1, 2};
    row.temperature = 0.5f;
    row.advantage = static_cast<float>(index);
    row.completion.sample_index = index;
    rows.push_back(row);
  }
  const std::vector<ScoredGroup> groups = GroupsOf(rows);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[1].group.completions.size(), 2u);
  EXPECT_EQ(groups[1].group.prompt_ids, rows[0].prompt_ids);
  EXPECT_EQ(groups[1].group.temperature, 0.5f);
  EXPECT_EQ(groups[1].advantages, (std::vector<float>{3, 5}));
}

}  // namespace
}  // namespace ponder
