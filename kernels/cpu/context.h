#pragma once

#include "base/thread_pool.h"
#include "kernels/cpu/primitives.h"
#include "kernels/cpu/workspace.h"

namespace ponder::kernels::cpu {

// What every operation runs with. One caller at a time.
struct CpuContext {
  ThreadPool& pool;
  const Primitives& primitives;
  Workspace& workspace;
};

// body(begin, end) over [0, count) in runs of `step`.
template <typename Body>
void ParallelRuns(ThreadPool& pool, int64_t count, int64_t step, Body body) {
  pool.ParallelFor((count + step - 1) / step, [&](int64_t i) {
    const int64_t begin = i * step;
    body(begin, begin + step < count ? begin + step : count);
  });
}

}  // namespace ponder::kernels::cpu
