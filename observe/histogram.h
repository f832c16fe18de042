#pragma once

#include <span>
#include <vector>

namespace ponder {

// Values in at most kBuckets buckets of the same width from the least to the greatest.
struct Histogram {
  static constexpr int kBuckets = 30;

  double count = 0;
  double min = 0;
  double max = 0;
  double sum = 0;
  double sum_squares = 0;
  std::vector<double> limits;  // upper end of each bucket, ascending; the last is `max`
  std::vector<double> counts;
};

// Of the values that are finite; one bucket where they are all the same, none where there are none.
Histogram MakeHistogram(std::span<const double> values);

}  // namespace ponder
