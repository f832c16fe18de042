#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/dtype.h"

// What the kernels are written in: number types, sums over warps and blocks, and the few
// instructions of the tensor cores, each behind a function. Below, `lane` is the thread's number in
// its warp, g = lane / 4 and t = lane % 4.
//
// The compiler contracts nothing here (-fmad=false): a fused multiply-add stands where fmaf is
// written, in every kernel alike, so that two kernels that do the same sum get the same bits.
namespace ponder::kernels::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kMaxHeadWidth = 128;  // E of the attention kernels
inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr float kMinusInfinity = -__builtin_huge_valf();

// ---- number types ----

__device__ inline float Widen(float value) { return value; }
__device__ inline float Widen(BF16 value) {
#ifdef PONDER_CUDA_EMULATION
  return ToF32(value);
#else
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
#endif
}

template <typename T>
__device__ T Narrow(float value);
template <>
__device__ inline float Narrow<float>(float value) {
  return value;
}
template <>
__device__ inline BF16 Narrow<BF16>(float value) {
#ifdef PONDER_CUDA_EMULATION
  return ToBF16(value);
#else
  BF16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
#endif
}

// Two values as neighbours, the first in the lower half.
__device__ inline uint32_t NarrowPair(float first, float second) {
  return static_cast<uint32_t>(Narrow<BF16>(first).bits) |
         static_cast<uint32_t>(Narrow<BF16>(second).bits) << 16;
}

// ---- sums ----

// Every lane gets it. A butterfly: the same bits in each lane, since a + b is b + a.
__device__ inline float WarpSum(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}
__device__ inline double WarpSum(double value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}
__device__ inline float WarpMax(float value) {
  for (int offset = 16; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}
// Over the four lanes that share a row of an accumulator tile.
__device__ inline float QuadSum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}
__device__ inline float QuadMax(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// Over a block of `kThreads`; every thread gets it: warps first, then their sums in order. Ends
// with a barrier, so that it may be called again at once.
template <int kThreads, typename Number>
__device__ Number BlockSum(Number value) {
  __shared__ Number warps[kThreads / kWarp];
  value = WarpSum(value);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  Number sum = warps[0];
  for (int i = 1; i < kThreads / kWarp; ++i) sum += warps[i];
  __syncthreads();
  return sum;
}
template <int kThreads>
__device__ float BlockMax(float value) {
  __shared__ float warps[kThreads / kWarp];
  value = WarpMax(value);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  float max = warps[0];
  for (int i = 1; i < kThreads / kWarp; ++i) max = fmaxf(max, warps[i]);
  __syncthreads();
  return max;
}

// ---- shared memory and copies into it ----

// Of a launch's size, 16-byte aligned.
__device__ inline char* SharedMemory() {
#ifdef PONDER_CUDA_EMULATION
  return cuda_emulation::SharedMemory();
#else
  extern __shared__ uint4 shared_memory[];
  return reinterpret_cast<char*>(shared_memory);
#endif
}

// 16 bytes from global to shared memory, both aligned, behind the thread's back; zeros where
// `valid` is false (`from` must be readable all the same).
__device__ inline void CopyAsync16(void* to, const void* from, bool valid) {
#ifdef PONDER_CUDA_EMULATION
  cuda_emulation::CopyLater(to, from, 16, valid ? 16 : 0);
#else
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
#endif
}
__device__ inline void CommitCopies() {
#ifdef PONDER_CUDA_EMULATION
  cuda_emulation::CommitCopies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Until at most `kLeft` of the committed groups are under way; a barrier must follow before other
// threads read.
template <int kLeft>
__device__ void WaitForCopies() {
#ifdef PONDER_CUDA_EMULATION
  cuda_emulation::WaitForCopies(kLeft);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

// ---- the tensor cores (PTX ISA, "Warp-level matrix instructions") ----

// Four 8 x 8 matrices of bf16 from shared memory. Lane i gives the address of row i % 8 of matrix
// i / 8, 16-byte aligned; r[j] holds of matrix j elements (g, 2 t) and (g, 2 t + 1).
__device__ inline void LoadMatrices(uint32_t (&r)[4], const void* row) {
#ifdef PONDER_CUDA_EMULATION
  size_t stride = 0;
  const char* rows = cuda_emulation::Exchange(&row, sizeof(row), &stride);
  const unsigned lane = threadIdx.x % kWarp;
  for (unsigned j = 0; j < 4; ++j) {
    const char* from = nullptr;
    std::memcpy(&from, rows + (j * 8 + lane / 4) * stride, sizeof(from));
    std::memcpy(&r[j], from + lane % 4 * 4, 4);
  }
#else
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
#endif
}
// The same matrices transposed: r[j] holds elements (2 t, g) and (2 t + 1, g).
__device__ inline void LoadMatricesTransposed(uint32_t (&r)[4], const void* row) {
#ifdef PONDER_CUDA_EMULATION
  size_t stride = 0;
  const char* rows = cuda_emulation::Exchange(&row, sizeof(row), &stride);
  const unsigned lane = threadIdx.x % kWarp;
  for (unsigned j = 0; j < 4; ++j) {
    r[j] = 0;
    for (unsigned i = 0; i < 2; ++i) {
      const char* from = nullptr;
      std::memcpy(&from, rows + (j * 8 + lane % 4 * 2 + i) * stride, sizeof(from));
      uint16_t bits = 0;
      std::memcpy(&bits, from + lane / 4 * 2, 2);
      r[j] |= static_cast<uint32_t>(bits) << (16 * i);
    }
  }
#else
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
#endif
}

// c += A B for A of 16 x 16, B of 16 x 8, bf16. a: (g, 2t..), (g + 8, 2t..), (g, 2t + 8..),
// (g + 8, 2t + 8..); b: (2t.., g), (2t + 8.., g); c: (g, 2t), (g, 2t + 1), (g + 8, 2t),
// (g + 8, 2t + 1).
__device__ inline void MultiplyBF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t b0,
                                    const uint32_t b1) {
#ifdef PONDER_CUDA_EMULATION
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  size_t stride = 0;
  const char* all = cuda_emulation::Exchange(mine, sizeof(mine), &stride);
  const unsigned lane = threadIdx.x % kWarp;
  const auto element = [&](unsigned of_lane, unsigned word, unsigned half) {
    BF16 value;
    std::memcpy(&value, all + of_lane * stride + word * 4 + half * 2, 2);
    return ToF32(value);
  };
  for (unsigned k = 0; k < 16; ++k) {
    const unsigned t = k % 8 / 2, half = k % 2, upper = k / 8;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4, column = lane % 4 * 2 + i % 2;
      c[i] = std::fma(element(row * 4 + t, upper * 2 + i / 2, half),
                      element(column * 4 + t, 4 + upper, half), c[i]);
    }
  }
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

}  // namespace ponder::kernels::cuda
