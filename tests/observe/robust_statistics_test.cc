#include "observe/robust_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace ponder {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST(RobustStatisticsTest, TakesTheMiddleAndPassesOverWhatIsMissing) {
  EXPECT_EQ(Median(std::vector{3.0, 1.0, 1000.0}), 3.0);
  EXPECT_EQ(Median(std::vector{4.0, kNone, 1.0, 2.0, 3.0}), 2.5);
  EXPECT_TRUE(std::isnan(Median(std::vector{kNone})));
}

TEST(RobustStatisticsTest, MeasuresNoiseBesideATrendAndWildValues) {
  RandomStream random(MakeRandomKey(1, "noise"), 0);
  std::vector<double> values;
  for (int i = 0; i < 2000; ++i) values.push_back(0.1 * i + 2 * random.Normal());
  for (int i = 0; i < 2000; i += 100) values[i] = 1e9;
  EXPECT_NEAR(NoiseOf(values), 2, 0.2);
  EXPECT_TRUE(std::isnan(NoiseOf(std::vector{1.0, 2.0})));
}

TEST(RobustStatisticsTest, KnowsTheErrorOfAMedian) {
  RandomStream random(MakeRandomKey(2, "median"), 0);
  double squares = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<double> values;
    for (int k = 0; k < 25; ++k) values.push_back(3 * random.Normal());
    squares += std::pow(Median(values), 2);
  }
  EXPECT_NEAR(std::sqrt(squares / 4000), ErrorOfMedian(3, 25), 0.03);
}

TEST(RobustStatisticsTest, CorrelatesRanksAsWorkedByHand) {
  // Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8.
  const RankCorrelation swapped =
      Correlate(std::vector{1.0, 2.0, 3.0, 4.0, 5.0}, std::vector{10.0, 1.0, 80.0, 70.0, 9999.0});
  EXPECT_NEAR(swapped.rho, 0.8, 1e-12);
  EXPECT_EQ(swapped.pairs, 5);
  EXPECT_NEAR(swapped.Sigmas(), 1.6, 1e-12);
  // Ranks 0 1 2 3 and, with ties, 0.5 0.5 2.5 2.5: 4 / sqrt(5 * 4).
  EXPECT_NEAR(Correlate(std::vector{1.0, 2.0, 3.0, 4.0}, std::vector{1.0, 1.0, 2.0, 2.0}).rho,
              4 / std::sqrt(20.0), 1e-12);
  EXPECT_EQ(Correlate(std::vector{1.0, 2.0, 3.0}, std::vector{7.0, 7.0, 7.0}).rho, 0);
  EXPECT_EQ(Correlate(std::vector{1.0, kNone, 3.0}, std::vector{1.0, 2.0, 3.0}).pairs, 2);
}

TEST(RobustStatisticsTest, TellsTrendsFromNoise) {
  RandomStream random(MakeRandomKey(3, "trend"), 0);
  int told = 0, rising = 0, falling = 0;
  for (int run = 0; run < 1000; ++run) {
    std::vector<double> values;
    for (int i = 0; i < 64; ++i) values.push_back(random.Normal());
    const Trend trend = TrendOf(values);
    told += trend.rises || trend.falls;
    for (int i = 0; i < 64; ++i) values[i] += 0.06 * i;
    rising += TrendOf(values).rises;
    for (double& value : values) value = -value;
    falling += TrendOf(values).falls;
  }
  EXPECT_LE(told, 2);
  EXPECT_GT(rising, 980);
  EXPECT_GT(falling, 980);
  EXPECT_FALSE(TrendOf(std::vector{1.0, 2.0, 3.0, 4.0}).rises) << "too few to say";
}

}  // namespace
}  // namespace ponder
