#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/operations.h"

namespace ponder {

// The neighbours among `sequences` that decode behind the same first pages, where that is long
// enough to be worth a kernel of its own: the completions of one prompt. `group`: query heads of a
// key/value head. Sets shared_keys of those in a run, and returns the runs.
std::vector<kernels::AttentionRun> FindRuns(std::span<kernels::AttentionSequence> sequences,
                                            const std::vector<std::vector<int32_t>>& page_tables,
                                            int64_t group);

}  // namespace ponder
