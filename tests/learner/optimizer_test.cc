#include "learner/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using ::testing::HasSubstr;

OptimizerSettings Settings(const std::string& schedule) {
  return {.learning_rate = 8, .warmup_updates = 4, .schedule = schedule, .total_updates = 12};
}

TEST(LearningRate, RisesLinearlyThroughTheWarmUp) {
  for (const char* schedule : {"constant", "linear", "cosine"}) {
    EXPECT_DOUBLE_EQ(LearningRate(Settings(schedule), 0), 2);
    EXPECT_DOUBLE_EQ(LearningRate(Settings(schedule), 1), 4);
    EXPECT_DOUBLE_EQ(LearningRate(Settings(schedule), 3), 8);
    EXPECT_DOUBLE_EQ(LearningRate(Settings(schedule), 4), 8);
  }
}

TEST(LearningRate, FallsToZeroAtTheLastUpdate) {
  EXPECT_DOUBLE_EQ(LearningRate(Settings("constant"), 100), 8);
  EXPECT_DOUBLE_EQ(LearningRate(Settings("linear"), 8), 4);
  EXPECT_DOUBLE_EQ(LearningRate(Settings("linear"), 11), 1);
  EXPECT_DOUBLE_EQ(LearningRate(Settings("linear"), 12), 0);
  EXPECT_DOUBLE_EQ(LearningRate(Settings("linear"), 13), 0);
  EXPECT_NEAR(LearningRate(Settings("cosine"), 6), 4 * (1 + std::sqrt(0.5)), 1e-12);
  EXPECT_NEAR(LearningRate(Settings("cosine"), 8), 4, 1e-12);
  EXPECT_NEAR(LearningRate(Settings("cosine"), 12), 0, 1e-12);
}

TEST(CheckOptimizerSettings, NamesTheSettingThatIsOutOfRange) {
  EXPECT_TRUE(CheckOptimizerSettings({}).ok());
  const auto message = [](const OptimizerSettings& settings) {
    return std::string(CheckOptimizerSettings(settings).message());
  };
  EXPECT_THAT(message({.learning_rate = -1}),
              HasSubstr("optimizer.learning_rate must be at least 0, found -1"));
  EXPECT_THAT(message({.beta2 = 1}), HasSubstr("optimizer.beta2 must be in [0, 1), found 1"));
  EXPECT_THAT(message({.epsilon = 0}), HasSubstr("optimizer.epsilon"));
  EXPECT_THAT(message({.schedule = "step"}), HasSubstr("optimizer.schedule is 'step'"));
  EXPECT_THAT(message({.warmup_updates = 5, .schedule = "cosine", .total_updates = 5}),
              HasSubstr("optimizer.total_updates is 5, expected more than the 5 warm-up updates"));
}

}  // namespace
}  // namespace ponder
