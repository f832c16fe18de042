#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "observe/run_reader.h"

namespace ponder {

// Steps that a level is the median of. Shorter and one bad batch makes it, longer and a trouble is
// told late: a step is minutes.
inline constexpr size_t kLevelSteps = 8;
// Steps that what needs no noise averaged away must last.
inline constexpr size_t kShortSteps = 3;

// Over the finite values; NaN and 0 where there is none.
double Mean(std::span<const double> values);
double Sum(std::span<const double> values);

// A run's metrics as they were when the table had `rows` rows: what a check looks at.
class Curves {
 public:
  // The table outlives it.
  Curves(const MetricTable& table, size_t rows) : table_(table), rows_(rows) {}

  size_t Rows() const { return rows_; }

  // A value a row, NaN where a step has none. Empty where the run has no such curve.
  std::span<const double> All(const std::string& name) const;
  // The first kLevelSteps, the last `count`, or as many as there are.
  std::span<const double> First(const std::string& name) const;
  std::span<const double> Last(const std::string& name, size_t count) const;
  // The last one; NaN where there is none.
  double Now(const std::string& name) const;

  // Over all curves that begin with `prefix`, in the last `count` rows.
  double SumOf(std::string_view prefix, size_t count) const;
  // The curve that begins with `prefix` whose sum over the last `count` rows is largest, but for
  // `prefix`total; empty where none is above 0.
  std::string LargestOf(const std::string& prefix, size_t count) const;

  // Share of right answers by row, see CorrectShares.
  std::vector<double> RightShares() const;

 private:
  const MetricTable& table_;
  const size_t rows_;
};

}  // namespace ponder
