#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/swiglu.cuh"

// Operations on single rows: embedding, norm, the gate.
namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// A block a row.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    EmbedKernel(const int32_t* ids, const T* table, float* out, int64_t width, int64_t padded) {
  const T* const from = table + ids[blockIdx.x] * padded;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    out[blockIdx.x * width + i] = Widen(from[i]);
  }
}

// A thread a row.
__global__ void __launch_bounds__(kThreads) FollowKernel(FollowArgs args) {
  const int64_t row = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (row >= args.rows || args.sources[row] < 0) return;
  const int32_t id = args.drawn[args.sources[row]];
  const int32_t* const stops = args.stops + args.stop_begins[row];
  bool ends = false;
  for (int32_t i = 0; i < args.stop_counts[row]; ++i) ends = ends || stops[i] == id;
  args.ids[row] = ends ? 0 : id;
  if (!ends) return;
  args.slots[row] = args.spare_slot;
  args.sequences[row].query_count = 0;
}

// A block a row, in whose order the gradients of equal ids are added. The block of an id's first
// row does all of them.
__global__ void __launch_bounds__(kThreads)
    EmbedBackwardKernel(const int32_t* ids, const float* d_out, float* d_table, int64_t rows,
                        int64_t width) {
  constexpr int kWarps = kThreads / kWarp;
  PONDER_SHARED(int, is_later, 1);
  PONDER_SHARED(unsigned, matches, kWarps);
  const int64_t first = blockIdx.x;
  const int32_t id = ids[first];
  if (threadIdx.x == 0) *is_later = 0;
  __syncthreads();
  for (int64_t row = threadIdx.x; row < first; row += kThreads) {
    if (ids[row] == id) *is_later = 1;
  }
  __syncthreads();
  if (*is_later != 0) return;
  float* const to = d_table + id * width;
  for (int64_t begin = first; begin < rows; begin += kThreads) {
    const int64_t mine = begin + threadIdx.x;
    const unsigned found = __ballot_sync(kAllLanes, mine < rows && ids[mine] == id ? 1 : 0);
    if (threadIdx.x % kWarp == 0) matches[threadIdx.x / kWarp] = found;
    __syncthreads();
    for (int warp = 0; warp < kWarps; ++warp) {
      for (unsigned bits = matches[warp]; bits != 0; bits &= bits - 1) {
        const int64_t row = begin + warp * kWarp + __popc((bits & (0u - bits)) - 1);
        for (int64_t i = threadIdx.x; i < width; i += kThreads) to[i] += d_out[row * width + i];
      }
    }
    __syncthreads();
  }
}

// A block a row, of a fixed size: the order of the sum depends on D alone.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    RmsNormKernel(const float* x, const float* weight, T* y, float* inverse_rms, float epsilon,
                  int64_t width, int64_t padded) {
  const int64_t row = blockIdx.x;
  const float* const in = x + row * width;
  T* const out = y + row * padded;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) squares = fmaf(in[i], in[i], squares);
  const float mean = BlockSum<kThreads>(squares) / static_cast<float>(width);
  const float inverse = 1.0f / sqrtf(mean + epsilon);
  if (inverse_rms != nullptr && threadIdx.x == 0) inverse_rms[row] = inverse;
  for (int64_t i = threadIdx.x; i < padded; i += kThreads) {
    out[i] = Narrow<T>(i < width ? in[i] * inverse * weight[i] : 0.0f);
  }
}

// d_x += inverse (d_y w - xhat mean(d_y w xhat)), xhat = x inverse.
__global__ void __launch_bounds__(kThreads)
    RmsNormBackwardKernel(const float* x, const float* weight, const float* inverse_rms,
                          const float* d_y, float* d_x, int64_t width) {
  const int64_t at = blockIdx.x * width;
  const float inverse = inverse_rms[blockIdx.x];
  float dot = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    dot = fmaf(d_y[at + i] * weight[i], x[at + i] * inverse, dot);
  }
  const float mean = BlockSum<kThreads>(dot) / static_cast<float>(width);
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    const float xhat = x[at + i] * inverse;
    d_x[at + i] += fmaf(-xhat, mean, d_y[at + i] * weight[i]) * inverse;
  }
}

// d_y xhat: what a row adds to the weight's gradient.
struct NormWeightGradient {
  const float *x, *d_y, *inverse_rms;
  int64_t width;
  __device__ float operator()(int64_t row, int64_t column) const {
    const int64_t at = row * width + column;
    return d_y[at] * (x[at] * inverse_rms[row]);
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    SwiGluKernel(const T* gate_up, T* y, int64_t width, int64_t padded_in, int64_t padded) {
  const T* const gate = gate_up + blockIdx.x * padded_in;
  for (int64_t i = threadIdx.x; i < padded; i += kThreads) {
    y[blockIdx.x * padded + i] =
        Narrow<T>(i < width ? SiluTimes(Widen(gate[i]), Widen(gate[width + i])) : 0.0f);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    SwiGluBackwardKernel(const T* gate_up, const float* d_y, float* d_gate_up, int64_t width,
                         int64_t padded_in) {
  const T* const in = gate_up + blockIdx.x * padded_in;
  float* const out = d_gate_up + blockIdx.x * 2 * width;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    const float gate = Widen(in[i]), up = Widen(in[width + i]);
    const float d = d_y[blockIdx.x * width + i];
    const float sigmoid = Sigmoid(gate), silu = gate * sigmoid;
    out[i] = d * up * fmaf(silu, 1.0f - sigmoid, sigmoid);  // silu' = s + x s (1 - s)
    out[width + i] = d * silu;
  }
}

}  // namespace

void Embed(const CudaContext& context, const EmbedArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.ids != nullptr && args.out != nullptr && args.table.data != nullptr);
  ForType(args.table.dtype, [&]<typename T>() {
    Launch({.blocks = args.rows, .threads = kThreads}, context.stream, EmbedKernel<T>, args.ids,
           static_cast<const T*>(args.table.data), args.out, args.table.inputs,
           PaddedInputs(args.table.inputs));
  });
}

void Follow(const CudaContext& context, const FollowArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.drawn != nullptr && args.sources != nullptr && args.stops != nullptr &&
               args.stop_begins != nullptr && args.stop_counts != nullptr && args.ids != nullptr &&
               args.slots != nullptr && args.sequences != nullptr);
  Launch({.blocks = CeilDivide(args.rows, kThreads), .threads = kThreads}, context.stream,
         FollowKernel, args);
}

void EmbedBackward(const CudaContext& context, const EmbedBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.ids != nullptr && args.d_out != nullptr && args.d_table != nullptr);
  Launch({.blocks = args.rows, .threads = kThreads}, context.stream, EmbedBackwardKernel, args.ids,
         args.d_out, args.d_table, args.rows, args.width);
}

void RmsNorm(const CudaContext& context, const RmsNormArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.weight != nullptr && args.y != nullptr);
  ForType(args.act, [&]<typename T>() {
    Launch({.blocks = args.rows, .threads = kThreads}, context.stream, RmsNormKernel<T>, args.x,
           args.weight, static_cast<T*>(args.y), args.inverse_rms, args.epsilon, args.width,
           PaddedInputs(args.width));
  });
}

void RmsNormBackward(const CudaContext& context, const RmsNormBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.weight != nullptr && args.inverse_rms != nullptr &&
               args.d_y != nullptr);
  PONDER_CHECK(args.d_x != nullptr && args.d_weight != nullptr);
  Launch({.blocks = args.rows, .threads = kThreads}, context.stream, RmsNormBackwardKernel, args.x,
         args.weight, args.inverse_rms, args.d_y, args.d_x, args.width);
  context.workspace.Reset();
  AddColumnSums(context, args.rows, args.width,
                NormWeightGradient{args.x, args.d_y, args.inverse_rms, args.width}, args.d_weight);
}

void SwiGlu(const CudaContext& context, const SwiGluArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.gate_up != nullptr && args.y != nullptr);
  ForType(args.act, [&]<typename T>() {
    Launch({.blocks = args.rows, .threads = kThreads}, context.stream, SwiGluKernel<T>,
           static_cast<const T*>(args.gate_up), static_cast<T*>(args.y), args.width,
           PaddedInputs(2 * args.width), PaddedInputs(args.width));
  });
}

void SwiGluBackward(const CudaContext& context, const SwiGluBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.gate_up != nullptr && args.d_y != nullptr && args.d_gate_up != nullptr);
  ForType(args.act, [&]<typename T>() {
    Launch({.blocks = args.rows, .threads = kThreads}, context.stream, SwiGluBackwardKernel<T>,
           static_cast<const T*>(args.gate_up), args.d_y, args.d_gate_up, args.width,
           PaddedInputs(2 * args.width));
  });
}

}  // namespace ponder::kernels::cuda
