#include "observe/histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace ponder {
namespace {

using ::testing::ElementsAre;

TEST(HistogramTest, CountsEachValueInTheBucketThatEndsAtOrAboveIt) {
  std::vector<double> values;
  for (int i = 0; i <= 60; ++i) values.push_back(i);
  const Histogram histogram = MakeHistogram(values);
  ASSERT_EQ(histogram.limits.size(), 30u);
  EXPECT_EQ(histogram.limits.front(), 2);
  EXPECT_EQ(histogram.limits.back(), 60);
  EXPECT_EQ(histogram.counts.front(), 3);  // 0, 1, 2
  EXPECT_EQ(histogram.counts.back(), 2);   // 59, 60
  EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), 0.0), 61);
  EXPECT_EQ(histogram.sum, 1830);
  EXPECT_EQ(histogram.sum_squares, 73810);
}

TEST(HistogramTest, TakesValuesThatAreAllTheSameOrNotFinite) {
  const Histogram same = MakeHistogram(std::vector{2.5, std::nan(""), 2.5, double{INFINITY}});
  EXPECT_THAT(same.limits, ElementsAre(2.5));
  EXPECT_THAT(same.counts, ElementsAre(2.0));
  EXPECT_EQ(MakeHistogram(std::vector{std::nan("")}).count, 0);
  EXPECT_TRUE(MakeHistogram({}).limits.empty());
  constexpr double kHuge = std::numeric_limits<double>::max();
  const Histogram wide = MakeHistogram(std::vector{-kHuge, 0.0, kHuge});
  EXPECT_EQ(std::accumulate(wide.counts.begin(), wide.counts.end(), 0.0), 3);
  EXPECT_EQ(wide.counts.front(), 1);
}

}  // namespace
}  // namespace ponder
