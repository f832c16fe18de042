#pragma once

#include "kernels/cuda/context.h"
#include "kernels/cuda/tile.cuh"
#include "kernels/packed_matrix.h"

// Whole matrix products over tiles (tile.cuh), with what is done with the result given as a
// function object:
//   finish(row, column, first, second): as VisitTile, counted from the corner of C.
namespace ponder::kernels::cuda {

template <typename Tile, typename Finish>
__global__ void __launch_bounds__(Tile::kThreads)
    MatMulKernel(Operand<typename Tile::T> a, Operand<typename Tile::T> b, int64_t m, int64_t k,
                 int64_t tiles_m, Finish finish) {
  // Blocks that run at the same time share columns of B, the larger operand.
  const int64_t m0 = blockIdx.x % tiles_m * Tile::kTileM;
  const int64_t n0 = blockIdx.x / tiles_m * Tile::kTileN;
  Tile tile;
  MultiplyTile(tile, a, b, m0, n0, k, SharedMemory(), finish.lines);
  VisitTile(tile, [&](int row, int column, const float* first, const float* second) {
    if (m0 + row < m) finish(m0 + row, n0 + column, first, second);
  });
}

// Products with few outputs and a long k, a feed-forward block's second: where there are few rows
// as well, a device would have a handful of blocks at work, each at an endless chain. So their
// elements are sums of chains of kChain, which may be made in blocks of their own. Whether they are
// depends on the matrix alone; who makes the chains changes no bits.
inline constexpr int64_t kChain = 1024;
inline int64_t ChainsOf(int64_t n, int64_t k) {
  return n <= 2048 && k > 2 * kChain ? CeilDivide(k, kChain) : 1;
}

// All chains of a tile in one block.
template <typename Tile, typename Finish>
__global__ void __launch_bounds__(Tile::kThreads)
    MatMulChainsKernel(Operand<typename Tile::T> a, Operand<typename Tile::T> b, int64_t m,
                       int64_t k, int64_t tiles_m, Finish finish) {
  const int64_t m0 = blockIdx.x % tiles_m * Tile::kTileM;
  const int64_t n0 = blockIdx.x / tiles_m * Tile::kTileN;
  Tile tile;
  ManyChains<Tile> chains;
  chains.steps = kChain / Tile::kTileK;
  ClearTile(chains.sum);
  MultiplyRange(tile, a, b, m0, n0, 0, k, SharedMemory(), finish.lines, chains);
  VisitTile(tile, [&](int row, int column, const float* first, const float* second) {
    if (m0 + row < m) finish(m0 + row, n0 + column, first, second);
  });
}

// A chain a block, into parts [chains, m, n16]; n16 is a multiple of 16.
template <typename Tile, typename LineMap>
__global__ void __launch_bounds__(Tile::kThreads)
    MatMulPartsKernel(Operand<typename Tile::T> a, Operand<typename Tile::T> b, int64_t m,
                      int64_t k, int64_t tiles_m, LineMap lines, float* parts, int64_t n16) {
  const int64_t m0 = blockIdx.x % tiles_m * Tile::kTileM;
  const int64_t n0 = blockIdx.x / tiles_m * Tile::kTileN;
  const int64_t begin = blockIdx.y * kChain;
  const int64_t end = begin + kChain < k ? begin + kChain : k;
  Tile tile;
  OneChain chain;
  MultiplyRange(tile, a, b, m0, n0, begin, end, SharedMemory(), lines, chain);
  float* const to = parts + blockIdx.y * m * n16;
  VisitTile(tile, [&](int row, int column, const float* first, const float* second) {
    if (m0 + row >= m || n0 + column >= n16) return;
    float* const at = to + (m0 + row) * n16 + n0 + column;
    for (int i = 0; i < 2; ++i) {
      at[i] = first[i];
      at[8 + i] = second[i];
    }
  });
}

// A thread for four elements, as VisitTile has them.
inline constexpr int kSumThreads = 128;
template <typename Finish>
__global__ void __launch_bounds__(kSumThreads)
    SumPartsKernel(const float* parts, int64_t chains, int64_t m, int64_t n16, Finish finish) {
  const int64_t i = blockIdx.x * int64_t{kSumThreads} + threadIdx.x;
  if (i >= m * n16 / 4) return;
  const int64_t row = i / (n16 / 4), column = i % (n16 / 4) / 4 * 16 + i % 4 * 2;
  float sums[2][2] = {};
  for (int64_t chain = 0; chain < chains; ++chain) {
    const float* const at = parts + (chain * m + row) * n16 + column;
    for (int j = 0; j < 2; ++j) {
      sums[0][j] += at[j];
      sums[1][j] += at[8 + j];
    }
  }
  finish(row, column, sums[0], sums[1]);
}

template <typename Tile, typename Finish>
void LaunchMatMul(const CudaContext& context, const Operand<typename Tile::T>& a,
                  const Operand<typename Tile::T>& b, int64_t m, int64_t n, int64_t k,
                  const Finish& finish) {
  const int64_t tiles_m = CeilDivide(m, Tile::kTileM);
  Launch({.blocks = tiles_m * CeilDivide(n, Tile::kTileN),
          .threads = Tile::kThreads,
          .shared_bytes = Tile::kSharedBytes},
         context.stream, MatMulKernel<Tile, Finish>, a, b, m, k, tiles_m, finish);
}

// The same in chains.
template <typename Tile, typename Finish>
void LaunchMatMulChains(const CudaContext& context, const Operand<typename Tile::T>& a,
                        const Operand<typename Tile::T>& b, int64_t m, int64_t n, int64_t k,
                        const Finish& finish) {
  const int64_t tiles_m = CeilDivide(m, Tile::kTileM);
  const int64_t tiles = tiles_m * CeilDivide(n, Tile::kTileN), chains = ChainsOf(n, k);
  Grid grid = {.blocks = tiles, .threads = Tile::kThreads, .shared_bytes = Tile::kSharedBytes};
  if (tiles >= 2 * context.multiprocessors) {
    return Launch(grid, context.stream, MatMulChainsKernel<Tile, Finish>, a, b, m, k, tiles_m,
                  finish);
  }
  const int64_t n16 = CeilDivide(n, 16) * 16;
  auto* const parts = context.workspace.Take<float>(chains * m * n16);
  grid.blocks_y = chains;
  Launch(grid, context.stream, MatMulPartsKernel<Tile, decltype(finish.lines)>, a, b, m, k, tiles_m,
         finish.lines, parts, n16);
  Launch({.blocks = CeilDivide(m * n16 / 4, kSumThreads), .threads = kSumThreads}, context.stream,
         SumPartsKernel<Finish>, parts, chains, m, n16, finish);
}

// run.template operator()<Tile>() with the tile for a product of this size.
template <typename T, Major kMajorA, Major kMajorB, typename Run>
void ForTile(const CudaContext& context, int64_t m, int64_t n, Run run) {
  if constexpr (sizeof(T) == 4) {
    run.template operator()<Tile<T, 64, 64, 32, 32, kMajorA, kMajorB>>();
  } else {
    // Large tiles read each operand less often, but only where there are enough of them.
    const int64_t large = CeilDivide(m, 128) * CeilDivide(n, 128);
    if (m > 64 && large >= context.multiprocessors) {
      run.template operator()<Tile<T, 128, 128, 64, 32, kMajorA, kMajorB>>();
    } else if (m > 16) {
      run.template operator()<Tile<T, 64, 64, 32, 32, kMajorA, kMajorB>>();
    } else {
      run.template operator()<Tile<T, 16, 64, 16, 16, kMajorA, kMajorB>>();
    }
  }
}

// C [m, n] = A B over k, in one chain; n counts lines of the tiles, which the finish may map to
// others.
template <typename T, Major kMajorA, Major kMajorB, typename Finish>
void MatMul(const CudaContext& context, const Operand<T>& a, const Operand<T>& b, int64_t m,
            int64_t n, int64_t k, const Finish& finish) {
  ForTile<T, kMajorA, kMajorB>(
      context, m, n, [&]<typename Tile>() { LaunchMatMul<Tile>(context, a, b, m, n, k, finish); });
}

// The same with rows of A and of B along k, in ChainsOf(n, k) chains. Takes from the work space.
template <typename T, typename Finish>
void MatMulInChains(const CudaContext& context, const Operand<T>& a, const Operand<T>& b, int64_t m,
                    int64_t n, int64_t k, const Finish& finish) {
  ForTile<T, Major::kK, Major::kK>(context, m, n, [&]<typename Tile>() {
    if (ChainsOf(n, k) == 1) {
      LaunchMatMul<Tile>(context, a, b, m, n, k, finish);
    } else {
      LaunchMatMulChains<Tile>(context, a, b, m, n, k, finish);
    }
  });
}

// C [m, width] + bias, stored or added (StoreIn).
struct StoreProduct {
  float* y = nullptr;           // [m, width]
  const float* bias = nullptr;  // [width], or null
  int64_t width = 0;
  Store store = Store::kOverwrite;
  bool in_pairs = false;  // whether every second element begins 8 bytes that lie on such a border
  SameLine lines;

  // Two neighbours; the first one's column is even.
  __device__ void Put(int64_t row, int64_t column, float2 values) const {
    if (column >= width) return;
    float* const at = y + row * width + column;
    const bool has_second = column + 1 < width, adds = store == Store::kAdd;
    if (bias != nullptr) {
      values.x += bias[column];
      if (has_second) values.y += bias[column + 1];
    }
    if (in_pairs) {
      float2* const both = reinterpret_cast<float2*>(at);
      const float2 before = adds ? *both : float2{0, 0};
      *both = adds ? float2{before.x + values.x, before.y + values.y} : values;
      return;
    }
    at[0] = adds ? at[0] + values.x : values.x;
    if (has_second) at[1] = adds ? at[1] + values.y : values.y;
  }
  __device__ void operator()(int64_t row, int64_t column, const float* first,
                             const float* second) const {
    Put(row, column, {first[0], first[1]});
    Put(row, column + 8, {second[0], second[1]});
  }
};
inline StoreProduct StoreIn(float* y, int64_t width, Store store = Store::kOverwrite,
                            const float* bias = nullptr) {
  const bool in_pairs = width % 2 == 0 && reinterpret_cast<uintptr_t>(y) % sizeof(float2) == 0;
  return {y, bias, width, store, in_pairs, {}};
}

// The product through cuBLASLt, where `rows` of the batch make that worth it: the order of a sum
// may depend on all sizes. False: nothing was done.
template <typename T, Major kMajorA, Major kMajorB>
bool BlasMatMul(const CudaContext& context, const Operand<T>& a, const Operand<T>& b, int64_t m,
                int64_t k, int64_t rows, const StoreProduct& finish) {
  if constexpr (sizeof(T) == 2) {
    return rows >= kBlasRows && context.blas != nullptr &&
           context.blas->MatMul(context.stream, {.a = a,
                                                 .b = b,
                                                 .a_major = kMajorA,
                                                 .b_major = kMajorB,
                                                 .c = finish.y,
                                                 .c_width = finish.width,
                                                 .bias = finish.bias,
                                                 .store = finish.store,
                                                 .m = m,
                                                 .n = finish.width,
                                                 .k = k});
  } else {
    return false;  // fp32 is there to compare with
  }
}

// That, or else our own kernel.
template <typename T, Major kMajorA, Major kMajorB>
void MatMulInAnyOrder(const CudaContext& context, const Operand<T>& a, const Operand<T>& b,
                      int64_t m, int64_t k, int64_t rows, const StoreProduct& finish) {
  if (BlasMatMul<T, kMajorA, kMajorB>(context, a, b, m, k, rows, finish)) return;
  MatMul<T, kMajorA, kMajorB>(context, a, b, m, finish.width, k, finish);
}

// [rows, padded inputs] act, and a weight matrix.
template <typename T>
Operand<T> ActOperand(const void* x, int64_t rows, int64_t width) {
  return {static_cast<const T*>(x), rows, PaddedInputs(width)};
}
template <typename T>
Operand<T> WeightOperand(const PackedMatrix& w) {
  return {static_cast<const T*>(w.data), w.outputs, PaddedInputs(w.inputs)};
}

// run.template operator()<T>() for the type that `dtype` names.
template <typename Run>
void ForType(DType dtype, Run run) {
  if (dtype == DType::kF32) {
    run.template operator()<float>();
  } else {
    run.template operator()<BF16>();
  }
}

}  // namespace ponder::kernels::cuda
