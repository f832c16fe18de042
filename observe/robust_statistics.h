#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ponder {

// Statistics that a few wild values do not move. NaN stands for "no value" and is passed over.

// NaN where there is no value.
double Median(std::span<const double> values);

// Standard deviation of the noise around a slowly moving level: from the median of the absolute
// differences of neighbours, so that a trend does not count as noise. NaN for less than 3 values.
double NoiseOf(std::span<const double> values);

// Standard error of the median of `count` values with this noise.
double ErrorOfMedian(double noise, size_t count);

// Spearman's rank correlation over the pairs that have both values; ties share their mean rank.
struct RankCorrelation {
  double rho = 0;  // 0 where one side does not vary
  int64_t pairs = 0;
  // rho over its standard error where the two have nothing to do with each other, 1 / sqrt(pairs -
  // 1).
  double Sigmas() const;
};
RankCorrelation Correlate(std::span<const double> a, std::span<const double> b);

// Sigmas that chance exceeds once in some 2,000 times.
inline constexpr double kBeyondChance = 3.5;

// How a curve goes over all its values: from the median of its first quarter to that of its last.
// It rises or falls where the difference is beyond the noise of both medians and the rank
// correlation with time is beyond chance; a curve of less than kMinTrendValues does neither.
struct Trend {
  double from = 0;
  double to = 0;
  double rho = 0;
  int64_t values = 0;
  bool rises = false;
  bool falls = false;
};
inline constexpr int64_t kMinTrendValues = 16;
Trend TrendOf(std::span<const double> values);

}  // namespace ponder
