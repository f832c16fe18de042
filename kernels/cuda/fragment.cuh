#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/operand.h"

// Warp-level products from shared memory: C [16, 8] += A [16, 16] B [16, 8], written once for both
// working types. bf16 goes through the tensor cores; fp32, which is there to compare with, through
// the same tiles one multiply-add at a time.
//
// An operand lies in shared memory with its rows along either index (Major). Strides are in
// elements and, for bf16, multiples of 8. Every lane of the warp calls.
namespace ponder::kernels::cuda {

// What keeps eight rows, 16 bytes each, out of each other's banks.
template <typename T>
inline constexpr int kRowPadding = 16 / sizeof(T);

template <typename T>
struct FragmentA;
template <typename T>
struct FragmentB;  // of two neighbours: 16 columns

template <>
struct FragmentA<BF16> {
  uint32_t r[4];
};
template <>
struct FragmentB<BF16> {
  uint32_t r[4];  // first 8 columns in r[0], r[1]
};
// Where to read, since registers would not hold it.
template <>
struct FragmentA<float> {
  const float* p;
  int row_stride, k_stride;
};
template <>
struct FragmentB<float> {
  const float* p;
  int column_stride, k_stride;
};

template <Major kMajor>
__device__ inline FragmentA<BF16> LoadA(const BF16* p, int stride) {
  const int lane = threadIdx.x % kWarp;
  FragmentA<BF16> a;
  if constexpr (kMajor == Major::kK) {
    LoadMatrices(a.r, p + lane % 16 * stride + lane / 16 * 8);
  } else {
    LoadMatricesTransposed(a.r, p + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
  }
  return a;
}
template <Major kMajor>
__device__ inline FragmentB<BF16> LoadB(const BF16* p, int stride) {
  const int lane = threadIdx.x % kWarp;
  FragmentB<BF16> b;
  if constexpr (kMajor == Major::kK) {
    LoadMatrices(b.r, p + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
  } else {
    LoadMatricesTransposed(b.r, p + (lane / 8 % 2 * 8 + lane % 8) * stride + lane / 16 * 8);
  }
  return b;
}
template <Major kMajor>
__device__ inline FragmentA<float> LoadA(const float* p, int stride) {
  return kMajor == Major::kK ? FragmentA<float>{p, stride, 1} : FragmentA<float>{p, 1, stride};
}
template <Major kMajor>
__device__ inline FragmentB<float> LoadB(const float* p, int stride) {
  return kMajor == Major::kK ? FragmentB<float>{p, stride, 1} : FragmentB<float>{p, 1, stride};
}

// c[j] += A times the 8 columns j of b.
__device__ inline void Multiply(float (&c0)[4], float (&c1)[4], const FragmentA<BF16>& a,
                                const FragmentB<BF16>& b) {
  MultiplyBF16(c0, a.r, b.r[0], b.r[1]);
  MultiplyBF16(c1, a.r, b.r[2], b.r[3]);
}
__device__ inline void Multiply(float (&c0)[4], float (&c1)[4], const FragmentA<float>& a,
                                const FragmentB<float>& b) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  for (int k = 0; k < 16; ++k) {
    const float upper = a.p[g * a.row_stride + k * a.k_stride];
    const float lower = a.p[(g + 8) * a.row_stride + k * a.k_stride];
    const float* const column = b.p + 2 * t * b.column_stride + k * b.k_stride;
    const float b00 = column[0], b01 = column[b.column_stride];
    const float b10 = column[8 * b.column_stride], b11 = column[9 * b.column_stride];
    c0[0] = fmaf(upper, b00, c0[0]);
    c0[1] = fmaf(upper, b01, c0[1]);
    c0[2] = fmaf(lower, b00, c0[2]);
    c0[3] = fmaf(lower, b01, c0[3]);
    c1[0] = fmaf(upper, b10, c1[0]);
    c1[1] = fmaf(upper, b11, c1[1]);
    c1[2] = fmaf(lower, b10, c1[2]);
    c1[3] = fmaf(lower, b11, c1[3]);
  }
}

// Two neighbouring accumulator tiles [16, 16] become an A operand. bf16 needs no memory; fp32 goes
// through `scratch`, 16 * kScratchStride floats of the warp's own.
inline constexpr int kScratchStride = 20;
template <typename T>
__device__ FragmentA<T> ToFragmentA(const float (&c0)[4], const float (&c1)[4], float* scratch);
template <>
__device__ inline FragmentA<BF16> ToFragmentA<BF16>(const float (&c0)[4], const float (&c1)[4],
                                                    float*) {
  return {{NarrowPair(c0[0], c0[1]), NarrowPair(c0[2], c0[3]), NarrowPair(c1[0], c1[1]),
           NarrowPair(c1[2], c1[3])}};
}
template <>
__device__ inline FragmentA<float> ToFragmentA<float>(const float (&c0)[4], const float (&c1)[4],
                                                      float* scratch) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  __syncwarp();  // nobody reads what was here before
  for (int i = 0; i < 4; ++i) {
    float* const at = scratch + (g + i / 2 * 8) * kScratchStride + 2 * t + i % 2;
    at[0] = c0[i];
    at[8] = c1[i];
  }
  __syncwarp();
  return {scratch, kScratchStride, 1};
}

}  // namespace ponder::kernels::cuda
