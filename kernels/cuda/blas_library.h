#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/operand.h"
#include "kernels/operations.h"

namespace ponder::kernels::cuda {

// Rows of a batch from which cuBLASLt is asked. Its kernels for Hopper make 64 or 128 rows at a
// time with wgmma; with fewer the reading of the weights (or the adding to their gradients) takes
// longer than the tensor cores of any kernel.
inline constexpr int64_t kBlasRows = 128;

// C [m, n] = A B over k, or C += A B, plus the bias in each row. Sums are fp32.
struct BlasProduct {
  Operand<BF16> a, b;
  Major a_major = Major::kK, b_major = Major::kK;
  void* c = nullptr;  // [m, c_width] c_type
  DType c_type = DType::kF32;
  int64_t c_width = 0;
  const float* bias = nullptr;  // [n], or null
  Store store = Store::kOverwrite;
  int64_t m = 0, n = 0, k = 0;
};

// cuBLASLt (blas_functions.h). Which of its algorithms does a product depends on the sizes, so that
// the order of a sum depends on the batch; equal products give equal bits.
class BlasLibrary {
 public:
  virtual ~BlasLibrary() = default;

  // Enqueues the product. False where the library has nothing for such sizes: then nothing was
  // done. What is given lies at multiples of 64 bytes. The first call of sizes may not be captured.
  virtual bool MatMul(cudaStream_t stream, const BlasProduct& product) = 0;
};

}  // namespace ponder::kernels::cuda
