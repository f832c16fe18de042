#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/run_catalog.h"
#include "base/status.h"
#include "observe/settings_file.h"

namespace ponder {

// Two runs beside each other.
struct RunComparison {
  struct Metric {
    std::string name;
    double a_end = 0, b_end = 0;      // NaN where there is none
    double a_equal = 0, b_equal = 0;  // at equal_step
  };
  struct Evaluation {
    std::string phase;
    int64_t step = 0;
    std::string metric;  // "eval/greedy_accuracy"
    std::optional<StoredShare> a, b;
  };
  int64_t a_step = 0, b_step = 0;           // last of the training
  int64_t equal_step = 0;                   // the lesser of the two
  std::vector<SettingDifference> settings;  // with two values
  std::vector<Metric> metrics;              // all that either has, by name
  std::vector<Evaluation> evaluations;
};

// A metric at a step is its mean over that step and the kComparedSteps - 1 before it: a single
// step's is noisy.
inline constexpr int64_t kComparedSteps = 5;

absl::StatusOr<RunComparison> CompareRuns(const std::string& a, const std::string& b);

}  // namespace ponder
