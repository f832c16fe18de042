#include "observe/robust_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ponder {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Of a normal distribution: standard deviation over median absolute value.
constexpr double kSigmaOfMad = 1.4826;

std::vector<double> Finite(std::span<const double> values) {
  std::vector<double> finite;
  finite.reserve(values.size());
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  return finite;
}

std::vector<double> Ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end - 1) / 2;
  }
  return ranks;
}

}  // namespace

double Median(std::span<const double> values) {
  std::vector<double> finite = Finite(values);
  if (finite.empty()) return kNone;
  const auto middle = finite.begin() + static_cast<ptrdiff_t>(finite.size() / 2);
  std::nth_element(finite.begin(), middle, finite.end());
  if (finite.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(finite.begin(), middle)) / 2;
}

double NoiseOf(std::span<const double> values) {
  const std::vector<double> finite = Finite(values);
  if (finite.size() < 3) return kNone;
  std::vector<double> differences;
  for (size_t i = 1; i < finite.size(); ++i) {
    differences.push_back(std::abs(finite[i] - finite[i - 1]));
  }
  // A difference of two has the variance of both.
  return kSigmaOfMad * Median(differences) / std::sqrt(2.0);
}

double ErrorOfMedian(double noise, size_t count) {
  // Of a normal distribution: error of a median over that of a mean.
  constexpr double kOverMean = 1.2533;
  return kOverMean * noise / std::sqrt(static_cast<double>(count));
}

double RankCorrelation::Sigmas() const {
  return pairs < 2 ? 0 : rho * std::sqrt(static_cast<double>(pairs - 1));
}

RankCorrelation Correlate(std::span<const double> a, std::span<const double> b) {
  std::vector<double> x, y;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    x.push_back(a[i]);
    y.push_back(b[i]);
  }
  RankCorrelation correlation{.pairs = static_cast<int64_t>(x.size())};
  if (x.size() < 2) return correlation;
  x = Ranks(x);
  y = Ranks(y);
  const double mean = static_cast<double>(x.size() - 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  if (xx > 0 && yy > 0) correlation.rho = xy / std::sqrt(xx * yy);
  return correlation;
}

Trend TrendOf(std::span<const double> values) {
  const std::vector<double> finite = Finite(values);
  Trend trend{.values = static_cast<int64_t>(finite.size())};
  if (trend.values < kMinTrendValues) return trend;
  const size_t quarter = finite.size() / 4;
  trend.from = Median(std::span(finite).first(quarter));
  trend.to = Median(std::span(finite).last(quarter));
  std::vector<double> time(finite.size());
  std::iota(time.begin(), time.end(), 0.0);
  const RankCorrelation with_time = Correlate(time, finite);
  trend.rho = with_time.rho;
  const double error = std::sqrt(2.0) * ErrorOfMedian(NoiseOf(finite), quarter);
  const bool beyond_chance = std::abs(with_time.Sigmas()) > kBeyondChance &&
                             std::abs(trend.to - trend.from) > kBeyondChance * error;
  trend.rises = beyond_chance && trend.rho > 0 && trend.to > trend.from;
  trend.falls = beyond_chance && trend.rho < 0 && trend.to < trend.from;
  return trend;
}

}  // namespace ponder
