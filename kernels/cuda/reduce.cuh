#pragma once

#include "kernels/cuda/context.h"
#include "kernels/cuda/device.cuh"

// Sums down the rows of a table, deterministic: runs of rows by themselves, then the runs in order.
namespace ponder::kernels::cuda {

inline constexpr int kReduceThreads = 256;
inline constexpr int kReduceRows = 512;  // of a run

// parts[run][column]: over the rows of a run; eight warps take every eighth row and are added in
// order.
template <typename Value>
__global__ void __launch_bounds__(kReduceThreads)
    RunSumsKernel(Value value, int64_t rows, int64_t width, float* parts) {
  constexpr int kWarps = kReduceThreads / kWarp;
  __shared__ float sums[kWarps][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t column = blockIdx.x * int64_t{kWarp} + lane;
  const int64_t begin = blockIdx.y * int64_t{kReduceRows};
  const int64_t end = begin + kReduceRows < rows ? begin + kReduceRows : rows;
  float sum = 0;
  if (column < width) {
    for (int64_t row = begin + warp; row < end; row += kWarps) sum += value(row, column);
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= width) return;
  for (int i = 1; i < kWarps; ++i) sum += sums[i][lane];
  parts[blockIdx.y * width + column] = sum;
}

static __global__ void __launch_bounds__(kReduceThreads)
    AddRunsKernel(const float* parts, int64_t runs, int64_t width, float* sums) {
  const int64_t column = blockIdx.x * int64_t{kReduceThreads} + threadIdx.x;
  if (column >= width) return;
  float sum = 0;
  for (int64_t run = 0; run < runs; ++run) sum += parts[run * width + column];
  sums[column] += sum;
}

// sums[column] += sum over the rows of value(row, column). Takes from the workspace.
template <typename Value>
void AddColumnSums(const CudaContext& context, int64_t rows, int64_t width, const Value& value,
                   float* sums) {
  const int64_t runs = CeilDivide(rows, kReduceRows);
  float* const parts = context.workspace.Take<float>(runs * width);
  Launch({.blocks = CeilDivide(width, kWarp), .blocks_y = runs, .threads = kReduceThreads},
         context.stream, RunSumsKernel<Value>, value, rows, width, parts);
  Launch({.blocks = CeilDivide(width, kReduceThreads), .threads = kReduceThreads}, context.stream,
         AddRunsKernel, parts, runs, width, sums);
}

}  // namespace ponder::kernels::cuda
