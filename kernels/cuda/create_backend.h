#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/collective.h"

namespace ponder::kernels {

struct CudaBackendOptions {
  int device = 0;  // its number among the visible ones
};

// A GPU behind the operations. FAILED_PRECONDITION where there is none, or one older than compute
// capability 8.0. This is inside the CUDA library; programs load it (kernels/cuda_library.h).
absl::StatusOr<std::unique_ptr<Backend>> CreateLocalCudaBackend(const CudaBackendOptions& options);

// Joins backends of CreateLocalCudaBackend, each of another GPU, by NCCL, on their own streams.
// NOT_FOUND where there is no libnccl.so.2, FAILED_PRECONDITION where NCCL cannot join them.
absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateNcclCollectives(
    std::span<Backend* const> backends);

}  // namespace ponder::kernels
