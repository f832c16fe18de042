#pragma once

#include <string_view>

#include "base/thread_pool.h"
#include "kernels/machine_limits.h"

namespace ponder::kernels::cpu {

// `isa` is BackendInfo::isa. Each probe keeps registers alone (multiply-adds) or memory alone
// (reads of 256 MB) busy; the best of a few rounds counts. Takes a quarter of a second.
MachineLimits ProbeMachine(ThreadPool& pool, std::string_view isa);

}  // namespace ponder::kernels::cpu
