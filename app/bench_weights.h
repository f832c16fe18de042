#pragma once

#include "app/bench_speed.h"

namespace ponder {

// How fast a policy version reaches those who sample with it. "weights_in_process": milliseconds
// from an optimizer's end until the engine of the same process may run. "weights_shared_memory" and
// "weights_grpc": GB/s from an optimizer's end until a worker in a process of its own has the
// version in place, beside one thread's memcpy and one raw loopback TCP connection with the same
// bytes.
absl::Status BenchWeights(const BenchSpeedOptions& options, const BenchReport& report);

}  // namespace ponder
