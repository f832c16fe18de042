#pragma once

#include <memory>

#include "base/status.h"
#include "kernels/cuda/create_backend.h"

namespace ponder::kernels {

// The one symbol that libponder_cuda.so is loaded for. The program and the library come from the
// same build, so C++ types may pass; kCudaInterface is counted up with every change of these types
// and refuses a library left over from another build.
inline constexpr char kCudaEntryName[] = "PonderCudaCreateBackend";
inline constexpr char kCudaFileName[] = "libponder_cuda.so";
inline constexpr int kCudaInterface = 3;

using BackendOr = absl::StatusOr<std::unique_ptr<Backend>>;
using CudaEntry = void (*)(int interface, const CudaBackendOptions* options, BackendOr* result);

}  // namespace ponder::kernels
