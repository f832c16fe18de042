#include "rewards/shaping.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <vector>

namespace ponder {
namespace {

TEST(R1Format, HoldsForTheFourTagsInOrderAndNothingElse) {
  EXPECT_EQ(R1FormatScore("<think>so</think>\n<answer>5</answer>"), 1);
  EXPECT_EQ(R1FormatScore("the prompt opened it</think><answer>5</answer>\n"), 1);
  EXPECT_EQ(R1FormatScore("\n <think></think> <answer></answer>"), 1);
  for (const char* broken :
       {"", "5", "<answer>5</answer>", "<think>so</think>", "<think>so</think> 5",
        "<think>so</think> so <answer>5</answer>", "<think>so</think><answer>5</answer> done",
        "<think>so</think><answer>5", "<think>so<answer>5</answer></think>",
        "<think>so</think></think><answer>5</answer>",
        "<think>so</think><answer>5</answer><answer>6</answer>",
        "<think><think>so</think><answer>5</answer>", "hm <think>so</think><answer>5</answer>",
        "<think>so</think><answer>", "<think>so</think></answer>"}) {
    EXPECT_EQ(R1FormatScore(broken), 0) << broken;
  }
}

TEST(OverlongPenalty, FallsLinearlyOverTheBuffer) {
  // 100 tokens at most, the last 20 of them a buffer.
  EXPECT_EQ(OverlongPenalty(0, 100, 20), 0);
  EXPECT_EQ(OverlongPenalty(80, 100, 20), 0);
  EXPECT_DOUBLE_EQ(OverlongPenalty(85, 100, 20), -0.25);
  EXPECT_EQ(OverlongPenalty(100, 100, 20), -1);
  EXPECT_EQ(OverlongPenalty(150, 100, 20), -1);
}

TEST(RepetitionShare, CountsWhatCameBefore) {
  const std::vector<int32_t> tokens = {1, 2, 3, 1, 2, 3, 1};
  EXPECT_DOUBLE_EQ(RepetitionShare(tokens, 1), 1 - 3.0 / 7);
  // 12 23 31 12 23 31: three of six are new.
  EXPECT_DOUBLE_EQ(RepetitionShare(tokens, 2), 0.5);
  EXPECT_DOUBLE_EQ(RepetitionShare(tokens, 3), 1 - 3.0 / 5);
  EXPECT_EQ(RepetitionShare(tokens, 7), 0);
  EXPECT_EQ(RepetitionShare(tokens, 8), 0);
  EXPECT_EQ(RepetitionShare({}, 1), 0);
}

TEST(RepetitionShare, EqualsACountOfTheNGramsThemselves) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> tokens(random() % 60);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 3);
    const int64_t n = 1 + random() % 5;
    std::set<std::vector<int32_t>> distinct;
    const int64_t count = static_cast<int64_t>(tokens.size()) - n + 1;
    for (int64_t i = 0; i < count; ++i) {
      distinct.emplace(tokens.begin() + i, tokens.begin() + i + n);
    }
    const double expected =
        count <= 0 ? 0 : 1 - static_cast<double>(distinct.size()) / static_cast<double>(count);
    EXPECT_DOUBLE_EQ(RepetitionShare(tokens, n), expected);
  }
}

TEST(CosineLength, PrefersShortRightAnswersAndLongWrongOnes) {
  const CosineLengthSettings settings;  // right: 2 to 1; wrong: -10 to 0; exceeded: -10
  EXPECT_DOUBLE_EQ(CosineLengthScore(settings, true, false, 0, 100), 2);
  EXPECT_DOUBLE_EQ(CosineLengthScore(settings, true, false, 50, 100), 1.5);
  EXPECT_DOUBLE_EQ(CosineLengthScore(settings, true, false, 100, 100), 1);
  EXPECT_DOUBLE_EQ(CosineLengthScore(settings, false, false, 0, 100), -10);
  EXPECT_NEAR(CosineLengthScore(settings, false, false, 25, 100), -5 - 5 * std::sqrt(0.5), 1e-12);
  EXPECT_DOUBLE_EQ(CosineLengthScore(settings, false, false, 100, 100), 0);
  EXPECT_DOUBLE_EQ(CosineLengthScore(settings, true, true, 100, 100), -10);
}

}  // namespace
}  // namespace ponder
