#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/collective.h"
#include "kernels/cuda/create_backend.h"

namespace ponder::kernels {

// A GPU's backend from libponder_cuda.so beside the program, loaded on first use: programs run
// where there is neither a GPU nor the library. NOT_FOUND where the build has none,
// FAILED_PRECONDITION where there is no GPU that can be used. The library stays loaded.
absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaBackendOptions& options);

// Joins GPUs' backends, which that library made, by NCCL (kernels/collective.h). NOT_FOUND where
// libnccl.so.2 is not there.
absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateCudaCollectives(
    std::span<Backend* const> backends);

}  // namespace ponder::kernels
