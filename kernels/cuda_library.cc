#include "kernels/cuda_library.h"

#include "base/companion_library.h"
#include "kernels/cuda/library_entry.h"

namespace ponder::kernels {

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaBackendOptions& options) {
  PONDER_ASSIGN_OR_RETURN(
      void* const entry,
      LoadCompanionEntry({.file = kCudaFileName,
                          .entry = kCudaEntryName,
                          .remedy = "no CUDA toolkit was found when this was built; install one "
                                    "and build again, or choose the device cpu"}));
  BackendOr result = Internal("the CUDA library gave no answer");
  reinterpret_cast<CudaEntry>(entry)(kCudaInterface, &options, &result);
  return result;
}

}  // namespace ponder::kernels
