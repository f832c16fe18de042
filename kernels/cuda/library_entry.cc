#include "kernels/cuda/library_entry.h"

namespace {

bool IsOfThisBuild(int interface, absl::Status& status) {
  if (interface == ponder::kernels::kCudaInterface) return true;
  status = ponder::FailedPrecondition(
      "the CUDA library has interface {}, the program {}; they are of different builds",
      ponder::kernels::kCudaInterface, interface);
  return false;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void PonderCudaCreateBackend(
    int interface, const ponder::kernels::CudaBackendOptions* options,
    ponder::kernels::BackendOr* result) {
  absl::Status status;
  *result =
      IsOfThisBuild(interface, status) ? ponder::kernels::CreateLocalCudaBackend(*options) : status;
}

extern "C" __attribute__((visibility("default"))) void PonderCudaCreateCollectives(
    int interface, const std::span<ponder::kernels::Backend* const>* backends,
    ponder::kernels::CollectivesOr* result) {
  absl::Status status;
  *result =
      IsOfThisBuild(interface, status) ? ponder::kernels::CreateNcclCollectives(*backends) : status;
}
