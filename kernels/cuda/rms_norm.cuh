#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace ponder::kernels::cuda {

inline constexpr int kNormThreads = 256;

// Sum over a block of kNormThreads; every thread gets it. Warps first, then the warps' sums in
// order of warp: one fixed tree.
__device__ inline float BlockSum(float value) {
  __shared__ float warps[kNormThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < kNormThreads / 32; ++i) sum += warps[i];
  return sum;
}

__device__ inline void StoreAct(float* p, float value) { *p = value; }
__device__ inline void StoreAct(__nv_bfloat16* p, float value) { *p = __float2bfloat16_rn(value); }

// One block a row. x [N, D] fp32, weight [D], y [N, padded] of Act with zeros behind D, inverse_rms
// [N] or null.
template <typename Act>
__global__ void __launch_bounds__(kNormThreads)
    RmsNormKernel(const float* x, const float* weight, Act* y, float* inverse_rms, float epsilon,
                  int64_t width, int64_t padded) {
  const int64_t row = blockIdx.x;
  const float* in = x + row * width;
  Act* out = y + row * padded;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < width; i += kNormThreads) squares = fmaf(in[i], in[i], squares);
  const float inverse = 1.0f / sqrtf(BlockSum(squares) / static_cast<float>(width) + epsilon);
  if (inverse_rms != nullptr && threadIdx.x == 0) inverse_rms[row] = inverse;
  for (int64_t i = threadIdx.x; i < padded; i += kNormThreads) {
    StoreAct(out + i, i < width ? in[i] * inverse * weight[i] : 0.0f);
  }
}

}  // namespace ponder::kernels::cuda
