#include "kernels/cuda_library.h"

#include "base/companion_library.h"
#include "kernels/cuda/library_entry.h"

namespace ponder::kernels {
namespace {

absl::StatusOr<void*> LoadEntry(const char* name) {
  return LoadCompanionEntry({.file = kCudaFileName,
                             .entry = name,
                             .remedy = "no CUDA toolkit was found when this was built; install one "
                                       "and build again, or choose the device cpu"});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaBackendOptions& options) {
  PONDER_ASSIGN_OR_RETURN(void* const entry, LoadEntry(kCudaEntryName));
  BackendOr result = Internal("the CUDA library gave no answer");
  reinterpret_cast<CudaEntry>(entry)(kCudaInterface, &options, &result);
  return result;
}

absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateCudaCollectives(
    std::span<Backend* const> backends) {
  PONDER_ASSIGN_OR_RETURN(void* const entry, LoadEntry(kCudaCollectivesEntryName));
  CollectivesOr result = Internal("the CUDA library gave no answer");
  reinterpret_cast<CudaCollectivesEntry>(entry)(kCudaInterface, &backends, &result);
  return result;
}

}  // namespace ponder::kernels
