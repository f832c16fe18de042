#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/collective.h"
#include "kernels/cuda/create_backend.h"

namespace ponder::kernels {

// The symbols that libponder_cuda.so is loaded for. The program and the library come from the
// same build, so C++ types may pass; kCudaInterface is counted up with every change of these types
// and refuses a library left over from another build.
inline constexpr char kCudaEntryName[] = "PonderCudaCreateBackend";
inline constexpr char kCudaCollectivesEntryName[] = "PonderCudaCreateCollectives";
inline constexpr char kCudaFileName[] = "libponder_cuda.so";
inline constexpr int kCudaInterface = 3;

using BackendOr = absl::StatusOr<std::unique_ptr<Backend>>;
using CudaEntry = void (*)(int interface, const CudaBackendOptions* options, BackendOr* result);
using CollectivesOr = absl::StatusOr<std::vector<std::unique_ptr<Collective>>>;
using CudaCollectivesEntry = void (*)(int interface, const std::span<Backend* const>* backends,
                                      CollectivesOr* result);

}  // namespace ponder::kernels
