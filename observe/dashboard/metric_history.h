#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "observe/run_reader.h"

namespace ponder {

// A metric at a step beside the steps before it. Numbers that are not known are NaN.
struct MetricMoment {
  double value = 0;
  double before = 0;     // at the step before
  double mean = 0;       // of at most kWindow steps before
  double deviation = 0;  // standard deviation of them
  int64_t steps = 0;     // how many they are

  static constexpr size_t kWindow = 20;

  // By how many standard deviations the value is above the mean; NaN where too few steps tell.
  double Deviations() const;
};

// `at` is the index of the step in the table. A metric that the table does not have is all NaN.
MetricMoment MomentOf(const MetricTable& table, const std::string& name, size_t at);

// A metric that left its own path.
struct Move {
  std::string name;
  double deviations = 0;
};

// Those that are at least `least` standard deviations away, the farthest first; no times and
// speeds.
std::vector<Move> MovesAt(const MetricTable& table, size_t at, double least);

}  // namespace ponder
