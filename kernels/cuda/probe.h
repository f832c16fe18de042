#pragma once

#include "kernels/cuda/context.h"
#include "kernels/machine_limits.h"

namespace ponder::kernels::cuda {

struct ProbeSizes {
  int64_t read_bytes = int64_t{1} << 30;  // well beyond the caches
  int64_t iterations = 4096;
};

// The memory's reads, and multiply-adds and products (mma.sync, the instruction of the kernels
// here) from registers. Hopper's and Blackwell's own product instructions are faster than mma.sync:
// there this is the limit of these kernels, not of the card. The workspace keeps the memory.
MachineLimits Probe(const CudaContext& context, const ProbeSizes& sizes = {});

}  // namespace ponder::kernels::cuda
