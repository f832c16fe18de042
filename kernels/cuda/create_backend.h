#pragma once

#include <memory>

#include "base/status.h"
#include "kernels/backend.h"

namespace ponder::kernels {

struct CudaBackendOptions {
  int device = 0;  // its number among the visible ones
};

// A GPU behind the operations. FAILED_PRECONDITION where there is none, or one older than compute
// capability 8.0. This is inside the CUDA library; programs load it (kernels/cuda_library.h).
absl::StatusOr<std::unique_ptr<Backend>> CreateLocalCudaBackend(const CudaBackendOptions& options);

}  // namespace ponder::kernels
