#pragma once

#include <cstddef>
#include <vector>

#include "observe/run_reader.h"

namespace ponder {

// By row, for the first `rows`: verdict/CORRECT over all of verdict/..., NaN where a step has no
// verdict. A status that a step has not had has no value there: it counts as 0.
std::vector<double> CorrectShares(const MetricTable& table, size_t rows);

}  // namespace ponder
