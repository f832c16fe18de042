#pragma once

#include <cublasLt.h>

#include <memory>

#include "base/status.h"
#include "kernels/cuda/blas_library.h"

namespace ponder::kernels::cuda {

// What is used of cuBLASLt.
struct BlasFunctions {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtMatmulDescCreate) description_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) description_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) description_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithms = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
};

// From the shared library, which is loaded by the first call that finds it and stays loaded: half a
// gigabyte that programs without a learner do without. NOT_FOUND says where it was looked for. The
// emulated device has functions of its own (tests/cuda_emulation/cublas_lt.cc).
absl::StatusOr<BlasFunctions> FindBlasFunctions();

// FAILED_PRECONDITION where the library cannot use the current device. Takes kBlasScratchBytes of
// its memory (kernels/gpu_workspace.h).
absl::StatusOr<std::unique_ptr<BlasLibrary>> CreateBlasLibrary(const BlasFunctions& functions);

}  // namespace ponder::kernels::cuda
