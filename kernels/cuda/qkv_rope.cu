#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"

// The split of the fused projection into rotated queries and the cache's keys and values.
namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kPairs = kMaxHeadWidth / 2 / kWarp;  // of one lane: elements i and i + E / 2

// One head in the registers of a warp: lane l holds elements l, l + 32, ... of both halves.
struct Head {
  float low[kPairs], high[kPairs];
};

template <typename Body>
__device__ inline void ForPairs(int half, Body body) {
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = threadIdx.x % kWarp + j * kWarp;
    if (i < half) body(i, j);
  }
}

__device__ inline Head LoadHead(const float* x, int half) {
  Head head = {};
  ForPairs(half, [&](int i, int j) {
    head.low[j] = x[i];
    head.high[j] = x[half + i];
  });
  return head;
}

__device__ inline float Dot(const Head& a, const Head& b) {
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) sum = fmaf(a.high[j], b.high[j], fmaf(a.low[j], b.low[j], sum));
  return WarpSum(sum);
}

__device__ inline Head Times(const Head& a, const Head& b) {
  Head product;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    product.low[j] = a.low[j] * b.low[j];
    product.high[j] = a.high[j] * b.high[j];
  }
  return product;
}
__device__ inline Head Times(const Head& a, float factor) {
  Head product;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    product.low[j] = a.low[j] * factor;
    product.high[j] = a.high[j] * factor;
  }
  return product;
}

__device__ inline void AddWhere(bool adds, const Head& part, Head& sum) {
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    sum.low[j] += adds ? part.low[j] : 0.0f;
    sum.high[j] += adds ? part.high[j] : 0.0f;
  }
}

__device__ inline float InverseRms(const Head& x, int half, float epsilon) {
  return 1.0f / sqrtf(Dot(x, x) / static_cast<float>(2 * half) + epsilon);
}

// `sign` -1 turns back.
__device__ inline Head Rotate(const Head& x, const float* cos_sin, float sign, int half) {
  Head y = {};
  ForPairs(half, [&](int i, int j) {
    const float cos = cos_sin[i], sin = sign * cos_sin[half + i];
    y.low[j] = x.low[j] * cos - x.high[j] * sin;
    y.high[j] = x.high[j] * cos + x.low[j] * sin;
  });
  return y;
}

// A block a row, a warp a head.
template <typename T>
__global__ void __launch_bounds__(kThreads) QkvRopeKernel(QkvRopeArgs args) {
  const int64_t row = blockIdx.x, width = args.shape.head_width, kv_heads = args.shape.kv_heads;
  const int half = static_cast<int>(width / 2);
  const float* const x = args.qkv + row * (args.heads + 2 * kv_heads) * width;
  const float* const cos_sin = args.cos_sin + args.positions[row] * width;
  const int64_t page = args.slots[row] / kPageTokens, place = args.slots[row] % kPageTokens;
  for (int64_t index = threadIdx.x / kWarp; index < args.heads + 2 * kv_heads; index += kWarps) {
    Head head = LoadHead(x + index * width, half);
    const bool is_query = index < args.heads, is_value = index >= args.heads + kv_heads;
    if (!is_value) {
      const float* const norm = is_query ? args.q_norm : args.k_norm;
      if (norm != nullptr) {
        head = Times(Times(head, InverseRms(head, half, args.norm_epsilon)), LoadHead(norm, half));
      }
      head = Rotate(head, cos_sin, 1.0f, half);
    }
    if (is_query) {
      float* const q = args.q + (row * args.heads + index) * width;
      ForPairs(half, [&](int i, int j) {
        q[i] = head.low[j];
        q[half + i] = head.high[j];
      });
      continue;
    }
    const int64_t of = (index - args.heads) % kv_heads;
    T* const to = static_cast<T*>(is_value ? args.cache.values : args.cache.keys) +
                  ((page * kv_heads + of) * kPageTokens + place) * width;
    ForPairs(half, [&](int i, int j) {
      to[i] = Narrow<T>(head.low[j]);
      to[half + i] = Narrow<T>(head.high[j]);
    });
  }
}

// What one row's heads of one kind add to the gradient of their norm: [E], by warps in order.
__device__ inline void StoreNormGradient(const Head& mine, float* parts, float* to, int half) {
  float* const part = parts + threadIdx.x / kWarp * kMaxHeadWidth;
  ForPairs(half, [&](int i, int j) {
    part[i] = mine.low[j];
    part[half + i] = mine.high[j];
  });
  __syncthreads();
  for (int e = threadIdx.x; e < 2 * half; e += kThreads) {
    float sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += parts[warp * kMaxHeadWidth + e];
    to[e] = sum;
  }
  __syncthreads();
}

// A block a row, a warp a head; d_norms [N, 2, E] or null: the row's part of d_q_norm and d_k_norm.
__global__ void __launch_bounds__(kThreads)
    QkvRopeBackwardKernel(QkvRopeBackwardArgs args, float* d_norms) {
  PONDER_SHARED(float, parts, kWarps* kMaxHeadWidth);
  const int64_t row = blockIdx.x, width = args.shape.head_width, kv_heads = args.shape.kv_heads;
  const int half = static_cast<int>(width / 2);
  const int64_t row_width = (args.heads + 2 * kv_heads) * width;
  const float* const cos_sin = args.cos_sin + args.positions[row] * width;
  const int64_t slot = args.slots[row];
  Head d_q_norm = {}, d_k_norm = {};
  for (int64_t index = threadIdx.x / kWarp; index < args.heads + 2 * kv_heads; index += kWarps) {
    const bool is_query = index < args.heads, is_value = index >= args.heads + kv_heads;
    const int64_t of = (index - args.heads) % kv_heads;
    Head d = LoadHead(is_query   ? args.d_q + (row * args.heads + index) * width
                      : is_value ? args.d_values + (slot * kv_heads + of) * width
                                 : args.d_keys + (slot * kv_heads + of) * width,
                      half);
    if (!is_value) {
      d = Rotate(d, cos_sin, -1.0f, half);
      const float* const norm = is_query ? args.q_norm : args.k_norm;
      if (norm != nullptr) {
        const Head x = LoadHead(args.qkv + row * row_width + index * width, half);
        const float inverse = InverseRms(x, half, args.norm_epsilon);
        const Head xhat = Times(x, inverse);
        // Not a reference to one of the two: that would put them into memory.
        const Head part = Times(d, xhat);
        AddWhere(is_query, part, d_q_norm);
        AddWhere(!is_query, part, d_k_norm);
        const Head d_xhat = Times(d, LoadHead(norm, half));
        const float mean = Dot(d_xhat, xhat) / static_cast<float>(width);
        ForPairs(half, [&](int, int j) {
          d.low[j] = fmaf(-xhat.low[j], mean, d_xhat.low[j]) * inverse;
          d.high[j] = fmaf(-xhat.high[j], mean, d_xhat.high[j]) * inverse;
        });
      }
    }
    float* const to = args.d_qkv + row * row_width + index * width;
    ForPairs(half, [&](int i, int j) {
      to[i] = d.low[j];
      to[half + i] = d.high[j];
    });
  }
  if (d_norms == nullptr) return;
  float* const to = d_norms + row * 2 * width;
  StoreNormGradient(d_q_norm, parts, to, half);
  StoreNormGradient(d_k_norm, parts, to + width, half);
}

struct NormPart {
  const float* d_norms;  // [N, 2, E]
  int64_t width, which;
  __device__ float operator()(int64_t row, int64_t column) const {
    return d_norms[(row * 2 + which) * width + column];
  }
};

}  // namespace

void QkvRope(const CudaContext& context, const QkvRopeArgs& args) {
  CheckHeads(args.shape, args.rows, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.qkv != nullptr && args.cos_sin != nullptr && args.positions != nullptr &&
               args.slots != nullptr);
  PONDER_CHECK(args.q != nullptr && args.cache.keys != nullptr && args.cache.values != nullptr);
  ForType(args.shape.dtype, [&]<typename T>() {
    Launch({.blocks = args.rows, .threads = kThreads}, context.stream, QkvRopeKernel<T>, args);
  });
}

void QkvRopeBackward(const CudaContext& context, const QkvRopeBackwardArgs& args) {
  CheckHeads(args.shape, args.rows, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.qkv != nullptr || (args.q_norm == nullptr && args.k_norm == nullptr));
  PONDER_CHECK(args.cos_sin != nullptr && args.positions != nullptr && args.slots != nullptr);
  PONDER_CHECK(args.d_q != nullptr && args.d_keys != nullptr && args.d_values != nullptr &&
               args.d_qkv != nullptr);
  const int64_t width = args.shape.head_width;
  const bool is_normed = args.d_q_norm != nullptr || args.d_k_norm != nullptr;
  context.workspace.Reset();
  float* const d_norms = is_normed ? context.workspace.Take<float>(args.rows * 2 * width) : nullptr;
  Launch({.blocks = args.rows, .threads = kThreads}, context.stream, QkvRopeBackwardKernel, args,
         d_norms);
  if (args.d_q_norm != nullptr)
    AddColumnSums(context, args.rows, width, NormPart{d_norms, width, 0}, args.d_q_norm);
  if (args.d_k_norm != nullptr)
    AddColumnSums(context, args.rows, width, NormPart{d_norms, width, 1}, args.d_k_norm);
}

}  // namespace ponder::kernels::cuda
