#include <algorithm>
#include <chrono>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/probe.h"

namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChains = 8;  // of dependent instructions, side by side: hides their latency

__global__ void __launch_bounds__(kThreads)
    ReadKernel(const float4* from, int64_t count, float* out) {
  float sum = 0;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    const float4 value = from[i];
    sum += (value.x + value.y) + (value.z + value.w);
  }
  if (sum != 0) *out = sum;  // never: the memory is zero, which the compiler does not know
}

__global__ void __launch_bounds__(kThreads)
    FmaKernel(int64_t iterations, float factor, float* out) {
  float chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = static_cast<float>(threadIdx.x + i);
  for (int64_t n = 0; n < iterations; ++n) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) chains[i] = fmaf(chains[i], factor, 1.0f);
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i) sum += chains[i];
  if (sum == 0) *out = sum;
}

__global__ void __launch_bounds__(kThreads) ProductKernel(int64_t iterations, float* out) {
  float chains[kChains][4] = {};
  const uint32_t a[4] = {threadIdx.x, threadIdx.x + 1, 2, 3};
  for (int64_t n = 0; n < iterations; ++n) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) MultiplyBF16(chains[i], a, 5, 7);
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i) sum += chains[i][0];
  if (sum == 1) *out = sum;
}

// Seconds of the fastest of a few rounds.
template <typename Work>
double BestSeconds(const CudaContext& context, Work work) {
  constexpr int kRounds = 4;
  double best = 1e30;
  for (int round = -1; round < kRounds; ++round) {  // the first warms up
    const auto start = std::chrono::steady_clock::now();
    work();
    CheckCuda(cudaStreamSynchronize(context.stream), "probe");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (round >= 0) best = std::min(best, seconds.count());
  }
  return best;
}

}  // namespace

MachineLimits Probe(const CudaContext& context, const ProbeSizes& sizes) {
  context.workspace.Reset();
  const int64_t bytes = sizes.read_bytes / 16 * 16;
  auto* const memory = context.workspace.Take<char>(bytes);
  auto* const out = context.workspace.Take<float>(1);
  CheckCuda(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), context.stream), "memset");
  const int64_t blocks = context.multiprocessors * int64_t{8};
  const double read = BestSeconds(context, [&] {
    Launch({.blocks = blocks, .threads = kThreads}, context.stream, ReadKernel,
           reinterpret_cast<const float4*>(memory), bytes / 16, out);
  });
  const double fma = BestSeconds(context, [&] {
    Launch({.blocks = blocks, .threads = kThreads}, context.stream, FmaKernel, sizes.iterations,
           0.5f, out);
  });
  const double product = BestSeconds(context, [&] {
    Launch({.blocks = blocks, .threads = kThreads}, context.stream, ProductKernel, sizes.iterations,
           out);
  });
  const double chains = static_cast<double>(blocks * kThreads * kChains * sizes.iterations);
  constexpr double kProductOperations = 2.0 * 16 * 8 * 16 / kWarp;  // of a lane
  return {.f32_flops = 2 * chains / fma,
          .bf16_flops = kProductOperations * chains / product,
          .read_bytes = static_cast<double>(bytes) / read};
}

}  // namespace ponder::kernels::cuda
