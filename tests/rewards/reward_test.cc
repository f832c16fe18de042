#include "rewards/reward.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/check.h"

namespace ponder {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(ComputeReward, WeighsCorrectnessAndFormatAndKeepsTheParts) {
  const RewardSettings settings{.correct_weight = 2, .part_weights = {{"format", 0.25}}};
  const Verdict verdict{
      .status = VerdictStatus::kCorrect, .score = 1, .parts = {{"format", 1}, {"speed", 7}}};
  const Reward reward = ComputeReward(settings, {.finish = FinishReason::kStop}, verdict);
  EXPECT_EQ(reward.total, 2.25);
  EXPECT_THAT(reward.parts, ElementsAre(Pair("correct", 2.0), Pair("format", 0.25)));
}

TEST(ComputeReward, GivesPartialScoresTheirShare) {
  const Verdict verdict{.status = VerdictStatus::kWrong, .score = 0.5};
  const Reward reward = ComputeReward({.part_weights = {{"format", 1}}}, {}, verdict);
  EXPECT_EQ(reward.total, 0.5);
  EXPECT_THAT(reward.parts, ElementsAre(Pair("correct", 0.5), Pair("format", 0.0)));
}

TEST(ComputeReward, SubtractsThePenaltyWhereTheLengthLimitCut) {
  const RewardSettings settings{.truncated_penalty = 0.5};
  const Verdict verdict{.status = VerdictStatus::kNoAnswer, .parts = {{"format", 0}}};
  EXPECT_EQ(ComputeReward(settings, {.finish = FinishReason::kLength}, verdict).total, -0.5);
  EXPECT_EQ(ComputeReward(settings, {.finish = FinishReason::kStop}, verdict).total, 0.0);
  EXPECT_EQ(ComputeReward({}, {.finish = FinishReason::kLength}, verdict).parts.count("truncated"),
            0);
}

TEST(ComputeReward, ClampsPartsThatAreNoScores) {
  const RewardSettings settings{.part_weights = {{"words", 0.5}, {"debt", 0.5}}};
  const Verdict verdict{.status = VerdictStatus::kWrong, .parts = {{"words", 1e300}, {"debt", -4}}};
  EXPECT_EQ(ComputeReward(settings, {}, verdict).total, 0.5);
}

TEST(ComputeReward, EachTermHasItsPartAndTheySumToTheTotal) {
  const RewardSettings settings{.part_weights = {{"format", 0.1}, {"style", 0.5}},
                                .truncated_penalty = 0.25,
                                .r1_format_weight = 0.2,
                                .language_weight = 0.4,
                                .language = *LanguageShare::Create("en"),
                                .overlong_weight = 1,
                                .overlong_buffer = 4,
                                .repetition_weight = 0.5,
                                .repetition_ngram = 1,
                                .cosine_weight = 0.125,
                                .max_new_tokens = 8};
  const Completion completion{
      .token_ids = {1, 2, 1, 2, 3, 4}, .finish = FinishReason::kStop, .text = "two слова"};
  const Verdict verdict{
      .status = VerdictStatus::kCorrect, .score = 1, .parts = {{"format", 1}, {"style", 0.5}}};
  const Reward reward = ComputeReward(settings, completion, verdict);
  // Length 6 of 8 with a buffer of 4: half into it. Two of six tokens came before. The cosine at
  // three quarters is -sqrt(1/2): 1 + (2 - 1) / 2 * (1 - sqrt(1/2)).
  const double cosine = 1 + 0.5 * (1 - std::sqrt(0.5));
  EXPECT_THAT(reward.parts,
              UnorderedElementsAre(Pair("correct", 1), Pair("format", 0.1), Pair("style", 0.25),
                                   Pair("truncated", 0), Pair("r1_format", 0),
                                   Pair("language", 0.2), Pair("overlong", -0.5),
                                   Pair("repetition", DoubleNear(-0.5 * 2 / 6, 1e-15)),
                                   Pair("cosine", DoubleNear(0.125 * cosine, 1e-15))));
  double sum = 0;
  for (const auto& [name, value] : reward.parts) sum += value;
  EXPECT_EQ(reward.total, sum);
}

TEST(ComputeReward, AGateThatDoesNotHoldTakesAwayWhatIsAboveZero) {
  RewardSettings settings{.part_weights = {{"format", 0.5}}, .gates = {"format", "style"}};
  const auto reward = [&](double format, double style) {
    return ComputeReward(settings, {},
                         {.status = VerdictStatus::kCorrect,
                          .score = 1,
                          .parts = {{"format", format}, {"style", style}}});
  };
  EXPECT_EQ(reward(1, 1).total, 1.5);
  EXPECT_EQ(reward(1, 0.5).total, 1.5);
  EXPECT_EQ(reward(1, 0.4).total, 0);
  EXPECT_THAT(reward(1, 0.4).parts,
              ElementsAre(Pair("correct", 1), Pair("format", 0.5), Pair("gated", -1.5)));
  EXPECT_EQ(reward(0, 1).total, 0);
  // What a verdict has no part of cannot fail: a verifier of other sources.
  EXPECT_EQ(ComputeReward(settings, {}, {.status = VerdictStatus::kCorrect, .score = 1}).total, 1);
  // A penalty stays one.
  settings.truncated_penalty = 3;
  EXPECT_EQ(ComputeReward(settings, {.finish = FinishReason::kLength},
                          {.status = VerdictStatus::kWrong, .parts = {{"format", 0}}})
                .total,
            -3);
  EXPECT_EQ(ComputeReward({.gates = {"r1_format"}}, {.text = "5"},
                          {.status = VerdictStatus::kCorrect, .score = 1})
                .total,
            0);
}

TEST(ComputeReward, NothingIsLearntFromATaskAtFault) {
  const RewardSettings settings{.part_weights = {{"format", 2}}, .truncated_penalty = 1};
  const Reward reward =
      ComputeReward(settings, {.finish = FinishReason::kLength},
                    {.status = VerdictStatus::kInvalidGold, .parts = {{"format", 1}}});
  EXPECT_EQ(reward.total, 0);
}

TEST(ComputeReward, RefusesAVerifiersOwnFailure) {
  EXPECT_THROW(ComputeReward({}, {}, {.status = VerdictStatus::kInternal}), CheckFailure);
  EXPECT_THROW(ComputeReward({}, {}, {.status = VerdictStatus::kUnspecified}), CheckFailure);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(ComputeReward({}, {}, {.status = VerdictStatus::kCorrect, .score = nan}),
               CheckFailure);
}

}  // namespace
}  // namespace ponder
