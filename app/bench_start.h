#pragma once

#include "app/bench_speed.h"

namespace ponder {

// "start": seconds from the start of a process to its first sampled token ("ponder generate" with
// one new token), files in the page cache.
absl::Status BenchStart(const BenchSpeedOptions& options, const BenchReport& report);

}  // namespace ponder
