#include "rewards/advantage.h"

#include <gmock/gmock.h>

#include <cmath>

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<float> Estimate(const std::string& name, const std::vector<double>& rewards) {
  return CreateAdvantageEstimator(name).value()->Estimate(rewards);
}

// Rewards 1, 0, 0, 1, 0.5, 0.5: mean 1/2, population variance (4 * 1/4) / 6 = 1/6.
const std::vector<double> kRewards = {1, 0, 0, 1, 0.5, 0.5};

TEST(AdvantageEstimator, GrpoDividesByThePopulationDeviation) {
  const float a = static_cast<float>(0.5 / (std::sqrt(1.0 / 6.0) + 1e-6));  // 1.2247
  EXPECT_NEAR(a, 1.224742, 1e-5);
  EXPECT_THAT(Estimate("grpo", kRewards),
              ElementsAre(FloatNear(a, 1e-6f), FloatNear(-a, 1e-6f), FloatNear(-a, 1e-6f),
                          FloatNear(a, 1e-6f), 0.0f, 0.0f));
  // One right answer in four: mean 1/4, variance 3/16, so (3/4) / (sqrt(3)/4) = sqrt(3).
  EXPECT_THAT(Estimate("grpo", {0, 1, 0, 0}),
              ElementsAre(FloatNear(-0.577349f, 2e-6f), FloatNear(1.732047f, 5e-6f),
                          FloatNear(-0.577349f, 2e-6f), FloatNear(-0.577349f, 2e-6f)));
}

TEST(AdvantageEstimator, DrGrpoSubtractsTheMeanAlone) {
  EXPECT_THAT(Estimate("dr_grpo", kRewards), ElementsAre(0.5f, -0.5f, -0.5f, 0.5f, 0.0f, 0.0f));
}

TEST(AdvantageEstimator, RlooSubtractsTheMeanOfTheOthers) {
  // 1 - (3 - 1) / 5, 0 - 3 / 5, 0.5 - 2.5 / 5
  EXPECT_THAT(Estimate("rloo", kRewards),
              ElementsAre(FloatNear(0.6f, 1e-7f), FloatNear(-0.6f, 1e-7f), FloatNear(-0.6f, 1e-7f),
                          FloatNear(0.6f, 1e-7f), 0.0f, 0.0f));
}

TEST(AdvantageEstimator, GivesExactZerosWhereAllRewardsAreEqual) {
  // The sum of three times 0.1 divided by 3 is not 0.1 in doubles; 1.1 stands for "right, in the
  // right form".
  for (const std::string name : {"grpo", "dr_grpo", "rloo"}) {
    for (const double reward : {0.0, 0.1, 1.1, -0.3}) {
      EXPECT_THAT(Estimate(name, {reward, reward, reward}), ElementsAre(0.0f, 0.0f, 0.0f)) << name;
    }
    EXPECT_THAT(Estimate(name, {0.7}), ElementsAre(0.0f)) << name;
    EXPECT_THAT(Estimate(name, {}), IsEmpty()) << name;
  }
}

TEST(AdvantageEstimator, IsFoundUnderItsName) {
  for (const std::string name : {"grpo", "dr_grpo", "rloo"}) {
    EXPECT_EQ(CreateAdvantageEstimator(name).value()->Name(), name);
  }
  const absl::Status status = CreateAdvantageEstimator("ppo").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"ppo\"; known are \"grpo\", \"dr_grpo\""));
}

}  // namespace
}  // namespace ponder
