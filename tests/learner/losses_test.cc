#include "learner/losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ponder {
namespace {

using ::testing::HasSubstr;

float Log(double value) { return static_cast<float>(std::log(value)); }

// Log-probs are floats near -1 and ratios near 1: each is off by a few units of 2^-24.
constexpr double kNear = 1e-6;

// Four tokens, each of weight 1/4, behaviour probability 0.5. By hand:
//   0: p 0.55, A  2: ratio 1.1 is inside:      term -1/4 * 2.2          d/dlogp -1/4 * 2.2
//   1: p 0.75, A  2: ratio 1.5 is above 1.28:  term -1/4 * 2 * 1.28     d/dlogp 0
//   2: p 0.35, A -1: ratio 0.7 is below 0.8:   term  1/4 * 0.8          d/dlogp 0
//   3: p 0.75, A -1: ratio 1.5, not cut off:   term  1/4 * 1.5          d/dlogp 1/4 * 1.5
struct Example {
  std::vector<float> behaviour = std::vector<float>(4, Log(0.5));
  std::vector<float> logprobs = {Log(0.55), Log(0.75), Log(0.35), Log(0.75)};
  std::vector<float> reference = {Log(0.5), Log(0.75), Log(0.7), Log(0.25)};
  std::vector<float> advantages = {2, 2, -1, -1};
  std::vector<float> weights = std::vector<float>(4, 0.25f);
  PolicyLossSettings settings = {.clip_low = 0.2, .clip_high = 0.28};

  PolicyLossResult Run() const {
    return PolicyLoss(settings,
                      {.logprobs = logprobs,
                       .behaviour = behaviour,
                       .old = behaviour,
                       .reference = settings.kl_weight > 0 ? std::span<const float>(reference)
                                                           : std::span<const float>(),
                       .advantages = advantages,
                       .weights = weights});
  }
};

TEST(PolicyLoss, ClipsLowAndHighAsWorkedByHand) {
  const PolicyLossResult result = Example().Run();
  EXPECT_NEAR(result.loss, (-2.2 - 2.56 + 0.8 + 1.5) / 4, kNear);
  EXPECT_NEAR(result.policy, result.loss, kNear);
  EXPECT_EQ(result.kl, 0);
  ASSERT_EQ(result.d_logprobs.size(), 4u);
  EXPECT_NEAR(result.d_logprobs[0], -0.55, kNear);
  EXPECT_EQ(result.d_logprobs[1], 0);
  EXPECT_EQ(result.d_logprobs[2], 0);
  EXPECT_NEAR(result.d_logprobs[3], 0.375, kNear);
  EXPECT_EQ(result.clipped_low, 1);
  EXPECT_EQ(result.clipped_high, 1);
  EXPECT_EQ(result.clips, (std::vector<int8_t>{0, 1, -1, 0}));
  EXPECT_NEAR(result.ratio_sum, 1.1 + 1.5 + 0.7 + 1.5, 4 * kNear);
  EXPECT_NEAR(result.ratio_max, 1.5, kNear);
  EXPECT_EQ(result.importance_sum, 4);
  // k3 of one token: ratio - log(ratio) - 1.
  double kl = 0;
  for (const double ratio : {1.1, 1.5, 0.7, 1.5}) kl += ratio - std::log(ratio) - 1;
  EXPECT_NEAR(result.behaviour_kl_sum, kl, 4 * kNear);
}

TEST(PolicyLoss, AddsTheK3EstimateAgainstTheReference) {
  Example example;
  example.settings.kl_weight = 0.1;
  const PolicyLossResult plain = Example().Run();
  const PolicyLossResult result = example.Run();
  // Reference over current probability, r: k3 is r - log(r) - 1 and its derivative by logp is 1 -
  // r.
  const double r[] = {0.5 / 0.55, 1, 2, 1.0 / 3};
  double kl = 0;
  for (int i = 0; i < 4; ++i) {
    kl += (r[i] - std::log(r[i]) - 1) / 4;
    EXPECT_NEAR(result.d_logprobs[i], plain.d_logprobs[i] + 0.1 * (1 - r[i]) / 4, kNear) << i;
  }
  EXPECT_NEAR(result.kl, kl, kNear);
  EXPECT_NEAR(result.loss, plain.loss + 0.1 * kl, kNear);
}

TEST(PolicyLoss, WeighsByTheTruncatedImportanceOfAnotherSampler) {
  Example example;
  example.settings.importance_cap = 1.2;
  // The learner's own probability before the step: 1.1 and 2 times the sampler's, cut to 1.1
  // and 1.2.
  example.logprobs = {Log(0.5), Log(0.5), Log(0.5), Log(0.5)};
  example.behaviour = {Log(0.5 / 1.1), Log(0.25), Log(0.5), Log(0.5)};
  const PolicyLossResult result = PolicyLoss(example.settings, {.logprobs = example.logprobs,
                                                                .behaviour = example.behaviour,
                                                                .old = example.logprobs,
                                                                .advantages = example.advantages,
                                                                .weights = example.weights});
  EXPECT_NEAR(result.loss, -(1.1 * 2 + 1.2 * 2 - 1 - 1) / 4, kNear);
  EXPECT_NEAR(result.d_logprobs[0], -1.1 * 2 / 4, kNear);
  EXPECT_NEAR(result.d_logprobs[1], -1.2 * 2 / 4, kNear);
  EXPECT_NEAR(result.importance_sum, 1.1 + 1.2 + 1 + 1, 4 * kNear);
  EXPECT_EQ(result.ratio_sum, 4);
}

TEST(PolicyLoss, HasExactRatioOneAndThePlainPolicyGradientOnPolicy) {
  Example example;
  example.behaviour = example.logprobs;
  const PolicyLossResult result = example.Run();
  EXPECT_EQ(result.ratio_sum, 4);
  EXPECT_EQ(result.ratio_max, 1);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(result.d_logprobs[i], -example.weights[i] * example.advantages[i]);
}

TEST(PolicyLoss, SpreadsAnAdvantageThatIsNotANumberToTheLoss) {
  Example example;
  example.advantages[2] = std::nanf("");
  EXPECT_TRUE(std::isnan(example.Run().loss));
}

TEST(SupervisedLoss, IsTheWeightedNegativeLogLikelihood) {
  const std::vector<float> logprobs = {-1, -2, -4}, weights = {0.5f, 0.25f, 0.25f};
  const SupervisedLossResult result = SupervisedLoss(logprobs, weights);
  EXPECT_EQ(result.loss, 2);
  EXPECT_THAT(result.d_logprobs, ::testing::ElementsAre(-0.5f, -0.25f, -0.25f));
}

TEST(CheckPolicyLossSettings, NamesTheSettingThatIsOutOfRange) {
  EXPECT_TRUE(CheckPolicyLossSettings({}).ok());
  EXPECT_THAT(std::string(CheckPolicyLossSettings({.aggregation = "mean"}).message()),
              HasSubstr("loss.aggregation is 'mean'"));
  EXPECT_THAT(std::string(CheckPolicyLossSettings({.clip_low = 1.5}).message()),
              HasSubstr("loss.clip_low"));
  EXPECT_THAT(std::string(CheckPolicyLossSettings({.kl_weight = -1}).message()),
              HasSubstr("loss.kl_weight"));
}

}  // namespace
}  // namespace ponder
