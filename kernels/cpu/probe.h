#pragma once

#include <string_view>

#include "base/thread_pool.h"

namespace ponder::kernels::cpu {

// What this machine can do at most, at this moment: the limits beside which a benchmark's figures
// stand. Machines that others use too change from minute to minute, so probe beside each figure.
struct MachineLimits {
  double f32_flops = 0;   // multiply-adds count twice; all threads of the pool, a second
  double bf16_flops = 0;  // of bf16 products summed in fp32, with the instructions of `isa`
  double read_bytes = 0;  // from memory beyond the caches, a second
};

// `isa` is BackendInfo::isa. Each probe keeps registers alone (multiply-adds) or memory alone
// (reads of 256 MB) busy; the best of a few rounds counts. Takes a quarter of a second.
MachineLimits ProbeMachine(ThreadPool& pool, std::string_view isa);

}  // namespace ponder::kernels::cpu
