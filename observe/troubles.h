#pragma once

#include <cstddef>
#include <vector>

#include "observe/hint.h"
#include "observe/run_reader.h"

namespace ponder {

// What is wrong with a run, with its remedy, as far as the first `rows` training steps (at least 1)
// show it: one hint for each kind of trouble, of the last of these steps.
std::vector<Hint> TroublesAt(const MetricTable& table, size_t rows);

}  // namespace ponder
