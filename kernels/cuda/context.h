#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/blas_library.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/numerics.h"

namespace ponder::kernels {
class Backend;
}

namespace ponder::kernels::cuda {

// Device memory that operations use while they run. Grows to the largest need and keeps it; what
// was taken stays valid until the next Reset and, since the stream keeps its order, for all that
// was launched before.
class Workspace {
 public:
  Workspace() = default;
  ~Workspace() {
    for (const Block& block : blocks_) cudaFree(block.memory);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Forgets all that was taken: the start of an operation.
  void Reset() {
    for (Block& block : blocks_) block.used = 0;
  }
  // One block of at least so many bytes, before the others.
  void Reserve(int64_t bytes);
  // 256-byte aligned. Throws std::bad_alloc.
  void* TakeBytes(int64_t bytes);
  template <typename T>
  T* Take(int64_t count) {
    return static_cast<T*>(TakeBytes(count * static_cast<int64_t>(sizeof(T))));
  }

 private:
  struct Block {
    char* memory = nullptr;
    int64_t bytes = 0;
    int64_t used = 0;
  };
  static Block Make(int64_t bytes);

  std::vector<Block> blocks_;
};

// What every operation runs with. One caller at a time.
struct CudaContext {
  cudaStream_t stream = nullptr;
  Workspace& workspace;
  int multiprocessors = 1;
  Numerics numerics = Numerics::kExact;
  BlasLibrary* blas = nullptr;  // null: our own kernels do without
};

// Where a backend works.
struct CudaPlace {
  int device = 0;
  cudaStream_t stream = nullptr;
};
// `backend` is CreateLocalCudaBackend's.
CudaPlace PlaceOf(const Backend& backend);

}  // namespace ponder::kernels::cuda
