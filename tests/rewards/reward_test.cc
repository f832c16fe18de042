#include "rewards/reward.h"

#include <gmock/gmock.h>

#include <limits>

#include "base/check.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(ComputeReward, WeighsCorrectnessAndFormatAndKeepsTheParts) {
  const RewardSettings settings{.correct_weight = 2, .format_weight = 0.25};
  const Verdict verdict{
      .status = VerdictStatus::kCorrect, .score = 1, .parts = {{"format", 1}, {"speed", 7}}};
  const Reward reward = ComputeReward(settings, {.finish = FinishReason::kStop}, verdict);
  EXPECT_EQ(reward.total, 2.25);
  EXPECT_THAT(reward.parts, ElementsAre(Pair("correct", 2.0), Pair("format", 0.25)));
}

TEST(ComputeReward, GivesPartialScoresTheirShare) {
  const Verdict verdict{.status = VerdictStatus::kWrong, .score = 0.5};
  const Reward reward = ComputeReward({}, {}, verdict);
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

TEST(ComputeReward, RefusesAVerifiersOwnFailure) {
  EXPECT_THROW(ComputeReward({}, {}, {.status = VerdictStatus::kInternal}), CheckFailure);
  EXPECT_THROW(ComputeReward({}, {}, {.status = VerdictStatus::kUnspecified}), CheckFailure);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(ComputeReward({}, {}, {.status = VerdictStatus::kCorrect, .score = nan}),
               CheckFailure);
}

}  // namespace
}  // namespace ponder
