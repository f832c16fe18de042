#include <cmath>
#include <vector>

#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/operations.h"

namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kNormRun = 1 << 16;  // elements whose squares are summed by themselves

__device__ inline void PutWeight(const PackedMatrix& target, int64_t at, float value) {
  if (target.dtype == DType::kF32) {
    static_cast<float*>(target.data)[at] = value;
  } else {
    static_cast<BF16*>(target.data)[at] = Narrow<BF16>(value);
  }
}

struct AdamWFactors {
  float first_correction = 1;
  float second_correction = 1;
};

__global__ void __launch_bounds__(kThreads)
    AdamWKernel(AdamWArgs args, AdamWFactors factors, int64_t padded) {
  const int64_t count = args.rows * args.columns;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    const float g = args.gradient[i] * args.gradient_scale;
    const float m = fmaf(args.beta1, args.first_moment[i], (1.0f - args.beta1) * g);
    const float v = fmaf(args.beta2, args.second_moment[i], (1.0f - args.beta2) * g * g);
    const float master = args.master[i];
    const float update =
        m * factors.first_correction / (sqrtf(v * factors.second_correction) + args.epsilon) +
        args.weight_decay * master;
    const float next = fmaf(-args.learning_rate, update, master);
    args.first_moment[i] = m;
    args.second_moment[i] = v;
    args.master[i] = next;
    if (args.working.data == nullptr) continue;
    PutWeight(args.working, i / args.columns * padded + i % args.columns, next);
  }
}

__global__ void __launch_bounds__(kThreads)
    PackKernel(const float* source, PackedMatrix target, int64_t lines, int64_t padded) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < lines * padded;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t n = i / padded, k = i % padded;
    PutWeight(target, i,
              n < target.outputs && k < target.inputs ? source[n * target.inputs + k] : 0.0f);
  }
}

__global__ void __launch_bounds__(kThreads)
    UnpackKernel(PackedMatrix source, float* target, int64_t padded) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < source.outputs * source.inputs;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t at = i / source.inputs * padded + i % source.inputs;
    target[i] = source.dtype == DType::kF32 ? static_cast<const float*>(source.data)[at]
                                            : Widen(static_cast<const BF16*>(source.data)[at]);
  }
}

// sums[b]: of the squares of run b, each thread's in order, then the block's.
__global__ void __launch_bounds__(kThreads)
    SquaresKernel(const float* values, int64_t count, double* sums) {
  const int64_t begin = blockIdx.x * kNormRun;
  const int64_t end = begin + kNormRun < count ? begin + kNormRun : count;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const double value = values[i];
    sum = fma(value, value, sum);
  }
  sum = BlockSum<kThreads>(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

Grid Elementwise(int64_t count) {
  return {.blocks = CeilDivide(count, 4 * kThreads), .threads = kThreads};
}

}  // namespace

void AdamW(const CudaContext& context, const AdamWArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.columns >= 0 && args.step >= 1);
  if (args.rows == 0 || args.columns == 0) return;
  PONDER_CHECK(args.master != nullptr && args.first_moment != nullptr &&
               args.second_moment != nullptr && args.gradient != nullptr);
  if (args.working.data != nullptr) {
    PONDER_CHECK(args.working.outputs == args.rows && args.working.inputs == args.columns);
  }
  const double step = static_cast<double>(args.step);
  const AdamWFactors factors = {
      static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(args.beta1), step))),
      static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(args.beta2), step)))};
  Launch(Elementwise(args.rows * args.columns), context.stream, AdamWKernel, args, factors,
         PaddedInputs(args.columns));
}

void Pack(const CudaContext& context, const float* source, const PackedMatrix& target) {
  PONDER_CHECK(source != nullptr && target.data != nullptr && target.outputs > 0 &&
               target.inputs > 0);
  const int64_t lines = Panels(target.outputs) * kPanelOutputs;
  const int64_t padded = PaddedInputs(target.inputs);
  Launch(Elementwise(lines * padded), context.stream, PackKernel, source, target, lines, padded);
}

void Unpack(const CudaContext& context, const PackedMatrix& source, float* target) {
  PONDER_CHECK(target != nullptr && source.data != nullptr && source.outputs > 0 &&
               source.inputs > 0);
  Launch(Elementwise(source.outputs * source.inputs), context.stream, UnpackKernel, source, target,
         PaddedInputs(source.inputs));
}

double SquaredNorm(const CudaContext& context, const float* values, int64_t count) {
  PONDER_CHECK(count >= 0 && (count == 0 || values != nullptr));
  if (count == 0) return 0;
  context.workspace.Reset();
  std::vector<double> sums(static_cast<size_t>(CeilDivide(count, kNormRun)));
  const auto runs = static_cast<int64_t>(sums.size());
  double* const device = context.workspace.Take<double>(runs);
  Launch({.blocks = runs, .threads = kThreads}, context.stream, SquaresKernel, values, count,
         device);
  CheckCuda(cudaMemcpyAsync(sums.data(), device, sums.size() * sizeof(double),
                            cudaMemcpyDeviceToHost, context.stream),
            "copy");
  CheckCuda(cudaStreamSynchronize(context.stream), "sums of squares");
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace ponder::kernels::cuda
