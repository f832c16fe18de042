#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/moment_codes.h"

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

// Moves m and v on by the gradient of element i; returns its new master weight.
__device__ inline float AdamWStep(const AdamWArgs& args, const AdamWFactors& factors, int64_t i,
                                  float* m, float* v) {
  const float g = args.gradient[i] * args.gradient_scale;
  *m = fmaf(args.beta1, *m, (1.0f - args.beta1) * g);
  *v = fmaf(args.beta2, *v, (1.0f - args.beta2) * g * g);
  const float master = args.master[i];
  const float update =
      *m * factors.first_correction / (sqrtf(*v * factors.second_correction) + args.epsilon) +
      args.weight_decay * master;
  return fmaf(-args.learning_rate, update, master);
}

__device__ inline void PutMaster(const AdamWArgs& args, int64_t i, int64_t padded, float next) {
  args.master[i] = next;
  if (args.working.data == nullptr) return;
  PutWeight(args.working, i / args.columns * padded + i % args.columns, next);
}

__global__ void __launch_bounds__(kThreads, 1)
    AdamWKernel(AdamWArgs args, AdamWFactors factors, int64_t padded) {
  const int64_t count = args.rows * args.columns;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    float m = args.first_moment[i], v = args.second_moment[i];
    const float next = AdamWStep(args, factors, i, &m, &v);
    args.first_moment[i] = m;
    args.second_moment[i] = v;
    PutMaster(args, i, padded, next);
  }
}

// The tables of both moments in shared memory.
struct MomentTables {
  float* values;      // [kMomentCodes]
  float* boundaries;  // [kMomentCodes]: above boundaries[c] begins code c + 1
};

__device__ inline void FillTables(const MomentMap& map, const MomentTables& tables) {
  for (int i = threadIdx.x; i < kMomentCodes; i += kThreads) {
    tables.values[i] = map.values[i];
    tables.boundaries[i] =
        i + 1 < kMomentCodes ? (map.values[i] + map.values[i + 1]) / 2 : -kMinusInfinity;
  }
}

__device__ inline int NearestCode(const MomentTables& tables, float share) {
  int code = 0;
  for (int step = kMomentCodes / 2; step > 0; step /= 2) {
    if (share > tables.boundaries[code + step - 1]) code += step;
  }
  return code;
}

// Of the moments of a warp; NaN where one of them is not finite.
template <int kCount>
__device__ float MomentScale(const float (&values)[kCount]) {
  constexpr float kLargest = 3.402823466e38f;
  float most = 0;
  bool is_finite = true;
  for (const float value : values) {
    most = fmaxf(most, fabsf(value));
    is_finite = is_finite && fabsf(value) <= kLargest;
  }
  most = WarpMax(most);
  return __ballot_sync(kAllLanes, is_finite) == kAllLanes ? most : nanf("");
}

// A warp has a block of moments at a time, each lane every 32nd of it.
__global__ void __launch_bounds__(kThreads, 1)
    AdamW8BitKernel(AdamWArgs args, AdamWFactors factors, int64_t padded, int64_t blocks,
                    const __grid_constant__ MomentMap first_map,
                    const __grid_constant__ MomentMap second_map) {
  constexpr int kWarps = kThreads / kWarp;
  constexpr int kOfLane = kMomentBlock / kWarp;
  PONDER_SHARED(float, tables, 4 * kMomentCodes);
  const MomentTables first = {tables, tables + kMomentCodes};
  const MomentTables second = {tables + 2 * kMomentCodes, tables + 3 * kMomentCodes};
  FillTables(first_map, first);
  FillTables(second_map, second);
  __syncthreads();
  const int64_t count = args.rows * args.columns;
  const int lane = threadIdx.x % kWarp;
  for (int64_t block = blockIdx.x * int64_t{kWarps} + threadIdx.x / kWarp; block < blocks;
       block += int64_t{gridDim.x} * kWarps) {
    const float first_scale = args.first_scales[block], second_scale = args.second_scales[block];
    const int64_t begin = block * kMomentBlock + lane;
    float m[kOfLane], v[kOfLane];
#pragma unroll
    for (int j = 0; j < kOfLane; ++j) {
      const int64_t i = begin + j * kWarp;
      m[j] = v[j] = 0;
      if (i >= count) continue;
      m[j] = first.values[args.first_codes[i]] * first_scale;
      v[j] = second.values[args.second_codes[i]] * second_scale;
      PutMaster(args, i, padded, AdamWStep(args, factors, i, &m[j], &v[j]));
    }
    const float new_first = MomentScale(m), new_second = MomentScale(v);
    if (lane == 0) {
      args.first_scales[block] = new_first;
      args.second_scales[block] = new_second;
    }
#pragma unroll
    for (int j = 0; j < kOfLane; ++j) {
      const int64_t i = begin + j * kWarp;
      if (i >= count) continue;
      const int m_code = NearestCode(first, new_first == 0 ? 0 : m[j] / new_first);
      const int v_code = NearestCode(second, new_second == 0 ? 0 : v[j] / new_second);
      args.first_codes[i] = static_cast<uint8_t>(m_code);
      // Else an element whose next gradient is tiny would go far by its first moment.
      args.second_codes[i] = static_cast<uint8_t>(v_code == 0 && v[j] > 0 ? 1 : v_code);
    }
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
  const bool is_8bit = args.first_codes != nullptr;
  PONDER_CHECK(args.master != nullptr && args.gradient != nullptr);
  PONDER_CHECK(is_8bit ? args.second_codes != nullptr && args.first_scales != nullptr &&
                             args.second_scales != nullptr
                       : args.first_moment != nullptr && args.second_moment != nullptr);
  if (args.working.data != nullptr) {
    PONDER_CHECK(args.working.outputs == args.rows && args.working.inputs == args.columns);
  }
  const double step = static_cast<double>(args.step);
  const AdamWFactors factors = {
      static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(args.beta1), step))),
      static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(args.beta2), step)))};
  const int64_t padded = PaddedInputs(args.columns);
  if (!is_8bit) {
    Launch(Elementwise(args.rows * args.columns), context.stream, AdamWKernel, args, factors,
           padded);
    return;
  }
  constexpr int64_t kBlocksEach = 8;  // of a multiprocessor: what its threads allow
  const int64_t blocks = MomentBlocks(args.rows * args.columns);
  Launch({.blocks =
              std::min(CeilDivide(blocks, kThreads / kWarp), kBlocksEach * context.multiprocessors),
          .threads = kThreads},
         context.stream, AdamW8BitKernel, args, factors, padded, blocks,
         MakeMomentMap(MomentSign::kEither), MakeMomentMap(MomentSign::kPositive));
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
