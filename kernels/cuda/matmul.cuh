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

// C [m, n] = A B over k; n counts lines of the tiles, which the finish may map to others.
template <typename T, Major kMajorA, Major kMajorB, typename Finish>
void MatMul(const CudaContext& context, const Operand<T>& a, const Operand<T>& b, int64_t m,
            int64_t n, int64_t k, const Finish& finish) {
  if constexpr (sizeof(T) == 4) {
    LaunchMatMul<Tile<T, 64, 64, 32, 32, kMajorA, kMajorB>>(context, a, b, m, n, k, finish);
  } else {
    // Large tiles read each operand less often, but only where there are enough of them.
    const int64_t large = CeilDivide(m, 128) * CeilDivide(n, 128);
    if (m > 64 && large >= context.multiprocessors) {
      LaunchMatMul<Tile<T, 128, 128, 64, 32, kMajorA, kMajorB>>(context, a, b, m, n, k, finish);
    } else if (m > 16) {
      LaunchMatMul<Tile<T, 64, 64, 32, 32, kMajorA, kMajorB>>(context, a, b, m, n, k, finish);
    } else {
      LaunchMatMul<Tile<T, 16, 64, 16, 16, kMajorA, kMajorB>>(context, a, b, m, n, k, finish);
    }
  }
}

// C [m, width] + bias, stored or added.
struct StoreProduct {
  float* y = nullptr;           // [m, width]
  const float* bias = nullptr;  // [width], or null
  int64_t width = 0;
  Store store = Store::kOverwrite;
  SameLine lines;

  __device__ void Put(int64_t row, int64_t column, float value) const {
    if (column >= width) return;
    float* const at = y + row * width + column;
    if (bias != nullptr) value += bias[column];
    *at = store == Store::kAdd ? *at + value : value;
  }
  __device__ void operator()(int64_t row, int64_t column, const float* first,
                             const float* second) const {
    Put(row, column, first[0]);
    Put(row, column + 1, first[1]);
    Put(row, column + 8, second[0]);
    Put(row, column + 9, second[1]);
  }
};

// As MatMul where the order of a sum may depend on all sizes, `rows` of the batch too: through
// cuBLASLt where that is worth it.
template <typename T, Major kMajorA, Major kMajorB>
void MatMulInAnyOrder(const CudaContext& context, const Operand<T>& a, const Operand<T>& b,
                      int64_t m, int64_t k, int64_t rows, const StoreProduct& finish) {
  if constexpr (sizeof(T) == 2) {
    if (rows >= kBlasRows && context.blas != nullptr &&
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
                                              .k = k})) {
      return;
    }
  }
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
