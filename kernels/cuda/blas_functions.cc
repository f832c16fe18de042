#include "kernels/cuda/blas_functions.h"

#include <dlfcn.h>

namespace ponder::kernels::cuda {
namespace {

template <typename Function>
bool Resolve(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

absl::StatusOr<BlasFunctions> FindBlasFunctions() {
  // By its name: LibTorch may have brought it into the process, else the loader knows where the
  // toolkit of the build and the system's libraries lie.
  constexpr char kFile[] = "libcublasLt.so.13";
  void* const library = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return NotFound(
        "cannot load {}: {}; install cuBLAS of CUDA 13 (PyPI: nvidia-cublas) and name its folder "
        "in LD_LIBRARY_PATH",
        kFile, dlerror());
  }
  BlasFunctions f;
  const bool is_whole =
      Resolve(library, "cublasLtCreate", f.create) &&
      Resolve(library, "cublasLtDestroy", f.destroy) &&
      Resolve(library, "cublasLtGetStatusString", f.status_string) &&
      Resolve(library, "cublasLtMatmulDescCreate", f.description_create) &&
      Resolve(library, "cublasLtMatmulDescDestroy", f.description_destroy) &&
      Resolve(library, "cublasLtMatmulDescSetAttribute", f.description_set) &&
      Resolve(library, "cublasLtMatrixLayoutCreate", f.layout_create) &&
      Resolve(library, "cublasLtMatrixLayoutDestroy", f.layout_destroy) &&
      Resolve(library, "cublasLtMatmulPreferenceCreate", f.preference_create) &&
      Resolve(library, "cublasLtMatmulPreferenceDestroy", f.preference_destroy) &&
      Resolve(library, "cublasLtMatmulPreferenceSetAttribute", f.preference_set) &&
      Resolve(library, "cublasLtMatmulAlgoGetHeuristic", f.find_algorithms) &&
      Resolve(library, "cublasLtMatmul", f.matmul);
  if (!is_whole) return NotFound("{} lacks a function: {}", kFile, dlerror());
  return f;
}

}  // namespace ponder::kernels::cuda
