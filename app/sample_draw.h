#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/run_reader.h"

namespace ponder {

// `count` different samples of a phase, spread evenly over its steps; all where it has no more. The
// same for the same `seed`. NOT_FOUND where it has none.
absl::StatusOr<std::vector<int64_t>> DrawSamples(RunReader& reader, const std::string& phase,
                                                 int64_t count, uint64_t seed);

}  // namespace ponder
