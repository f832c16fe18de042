#pragma once

#include <vector>

#include "observe/hint.h"
#include "observe/run_reader.h"

namespace ponder {

// What hints that the policy has found a way to reward that is not the one meant: curves that go
// together, over all steps, as sentences with their evidence. Hints, not proof: look at the
// samples. Both tables are of whole runs; either may be empty.
std::vector<Hint> FindRewardHacking(const MetricTable& train, const MetricTable& eval);

}  // namespace ponder
