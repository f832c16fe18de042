#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/collective.h"
#include "kernels/cuda/numerics.h"

namespace ponder::kernels {

struct CudaBackendOptions {
  int device = 0;  // its number among the visible ones
  Numerics numerics = Numerics::kExact;
  // Told once, in words, where gradients must do without cuBLASLt; may be empty.
  std::function<void(const std::string&)> warn;
};

// A GPU behind the operations. FAILED_PRECONDITION where there is none, or one older than compute
// capability 8.0, or where kFast finds no cuBLASLt to be fast with. This is inside the CUDA
// library; programs load it (kernels/cuda_library.h).
absl::StatusOr<std::unique_ptr<Backend>> CreateLocalCudaBackend(const CudaBackendOptions& options);

// Joins backends of CreateLocalCudaBackend, each of another GPU, by NCCL, on their own streams.
// NOT_FOUND where there is no libnccl.so.2, FAILED_PRECONDITION where NCCL cannot join them.
absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateNcclCollectives(
    std::span<Backend* const> backends);

}  // namespace ponder::kernels
