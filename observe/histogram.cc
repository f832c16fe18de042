#include "observe/histogram.h"

#include <algorithm>
#include <cmath>

namespace ponder {

Histogram MakeHistogram(std::span<const double> values) {
  Histogram histogram;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    histogram.min = histogram.count == 0 ? value : std::min(histogram.min, value);
    histogram.max = histogram.count == 0 ? value : std::max(histogram.max, value);
    ++histogram.count;
    histogram.sum += value;
    histogram.sum_squares += value * value;
  }
  if (histogram.count == 0) return histogram;
  const int buckets = histogram.max > histogram.min ? Histogram::kBuckets : 1;
  // Divided first: the range itself may be beyond what a double holds.
  const double width = histogram.max / buckets - histogram.min / buckets;
  for (int i = 1; i < buckets; ++i) histogram.limits.push_back(histogram.min + width * i);
  histogram.limits.push_back(histogram.max);
  histogram.counts.resize(histogram.limits.size());
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    const auto bucket = std::lower_bound(histogram.limits.begin(), histogram.limits.end(), value);
    ++histogram.counts[static_cast<size_t>(bucket - histogram.limits.begin())];
  }
  return histogram;
}

}  // namespace ponder
