#include "kernels/cuda/library_entry.h"

extern "C" __attribute__((visibility("default"))) void PonderCudaCreateBackend(
    int interface, const ponder::kernels::CudaBackendOptions* options,
    ponder::kernels::BackendOr* result) {
  if (interface != ponder::kernels::kCudaInterface) {
    *result = ponder::FailedPrecondition(
        "the CUDA library has interface {}, the program {}; they are of different builds",
        ponder::kernels::kCudaInterface, interface);
    return;
  }
  *result = ponder::kernels::CreateLocalCudaBackend(*options);
}
