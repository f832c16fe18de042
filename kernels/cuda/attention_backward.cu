#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/operations.h"

namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// deltas [N, H]: d_out . out of each row; a warp a row of a head.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    DeltaKernel(AttentionBackwardArgs args, int64_t padded, float* deltas) {
  const int64_t at = blockIdx.x * int64_t{kThreads / kWarp} + threadIdx.x / kWarp;
  if (at >= args.rows * args.heads) return;
  const int64_t width = args.shape.head_width;
  const T* const out =
      static_cast<const T*>(args.out) + at / args.heads * padded + at % args.heads * width;
  float sum = 0;
  for (int64_t e = threadIdx.x % kWarp; e < width; e += kWarp)
    sum = fmaf(Widen(out[e]), args.d_out[at * width + e], sum);
  sum = WarpSum(sum);
  if (threadIdx.x % kWarp == 0) deltas[at] = sum;
}

// A block for 64 rows of one key/value head: d_q, block of keys after block.
template <typename T, int kE>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce)
    QueryGradientKernel(AttentionBackwardArgs args, const int32_t* ends, const float* deltas) {
  using Sizes = AttentionTile<T, kE>;
  constexpr int kParts = Sizes::kKeys / 8;
  const TileOfSequence place = FindTile(ends, args.sequence_count, blockIdx.x);
  if (place.sequence < 0) return;
  const HeadRows rows =
      MakeHeadRows(args.sequences[place.sequence], args.heads, args.shape.kv_heads, blockIdx.y);
  const int64_t width = args.shape.head_width;
  const int count = rows.Count();
  const int tile_begin = static_cast<int>(place.tile) * kTileRows;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  T* const all_q = reinterpret_cast<T*>(SharedMemory());
  T* const all_d_out = all_q + kAttentionWarps * Sizes::kRowElements;
  T* const keys = all_d_out + kAttentionWarps * Sizes::kRowElements;
  T* const values = keys + Sizes::kKeyElements;
  float* const scratch =
      reinterpret_cast<float*>(values + Sizes::kKeyElements) + warp * 16 * kScratchStride;
  LoadRows<T, kE>(all_q, args.q, rows, tile_begin, kTileRows, width, threadIdx.x,
                  kAttentionThreads);
  LoadRows<T, kE>(all_d_out, args.d_out, rows, tile_begin, kTileRows, width, threadIdx.x,
                  kAttentionThreads);
  const int row = tile_begin + warp * 16 + lane / 4;
  int seen[2];
  float logsumexp[2], delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    seen[half] = r < count ? rows.Visible(r) : 0;
    logsumexp[half] = r < count ? args.logsumexp[rows.At(r)] : 0.0f;
    delta[half] = r < count ? deltas[rows.At(r)] : 0.0f;
  }
  float d_q[kE / 8][4];
#pragma unroll
  for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) d_q[j][i] = 0;
  }
  const int last = tile_begin + kTileRows < count ? tile_begin + kTileRows : count;
  for (int first = 0; first < rows.Visible(last - 1); first += Sizes::kKeys) {
    CopyKeys<T, kE>(keys, args.cache.keys, rows, first, Sizes::kKeys, args.shape, threadIdx.x,
                    kAttentionThreads);
    CopyKeys<T, kE>(values, args.cache.values, rows, first, Sizes::kKeys, args.shape, threadIdx.x,
                    kAttentionThreads);
    WaitForCopies<0>();
    __syncthreads();
    float scores[kParts][4], d_weights[kParts][4];
    MultiplyRows<T, kE>(scores, all_q + warp * Sizes::kRowElements, keys);
    MultiplyRows<T, kE>(d_weights, all_d_out + warp * Sizes::kRowElements, values);
#pragma unroll
    for (int j = 0; j < kParts; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool is_seen = first + 8 * j + lane % 4 * 2 + i % 2 < seen[i / 2];
        const float weight = is_seen ? __expf(scores[j][i] * args.scale - logsumexp[i / 2]) : 0.0f;
        scores[j][i] = weight * (d_weights[j][i] - delta[i / 2]) * args.scale;
      }
    }
#pragma unroll
    for (int k = 0; k < Sizes::kKeys; k += 16) {
      const FragmentA<T> d_scores = ToFragmentA<T>(scores[k / 8], scores[k / 8 + 1], scratch);
      AddWeighted<T, kE>(d_q, d_scores, keys + k * Sizes::kStride);
    }
    __syncthreads();  // all have read before the next block comes
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (row + 8 * half >= count) continue;
    float* const to = args.d_q + rows.At(row + 8 * half) * width;
#pragma unroll
    for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int e = 8 * j + lane % 4 * 2 + i;
        if (e < width) to[e] = d_q[j][2 * half + i];
      }
    }
  }
}

template <typename T, int kE>
constexpr int64_t QueryGradientBytes() {
  using Sizes = AttentionTile<T, kE>;
  return (2 * kAttentionWarps * Sizes::kRowElements + 2 * Sizes::kKeyElements) *
             static_cast<int64_t>(sizeof(T)) +
         Sizes::kScratchBytes;
}

// ---- which sequences see a page ----

// users: of each page the sequences that name it, in any order, from begins[page] on.
struct PageUsers {
  const int32_t* begins = nullptr;  // [pages + 1]
  const int32_t* users = nullptr;   // (sequence, which of its pages) pairs
};

__device__ inline int64_t PagesOf(const AttentionSequence& sequence) {
  return (sequence.key_count + kPageTokens - 1) / kPageTokens;
}

__global__ void __launch_bounds__(kThreads)
    CountUsersKernel(const AttentionSequence* sequences, int32_t* counts) {
  const AttentionSequence sequence = sequences[blockIdx.x];
  for (int64_t i = threadIdx.x; i < PagesOf(sequence); i += kThreads)
    atomicAdd(&counts[sequence.pages[i]], 1);
}

// One block: begins [pages + 1] from counts, which become zero again.
__global__ void __launch_bounds__(kThreads)
    CumulateKernel(int32_t* counts, int64_t pages, int32_t* begins) {
  PONDER_SHARED(int32_t, sums, kThreads);
  const int64_t run = (pages + kThreads - 1) / kThreads;
  const int64_t begin = threadIdx.x * run;
  const int64_t end = begin + run < pages ? begin + run : pages;
  int32_t mine = 0;
  for (int64_t i = begin; i < end; ++i) mine += counts[i];
  sums[threadIdx.x] = mine;
  __syncthreads();
  int32_t before = 0;
  for (unsigned i = 0; i < threadIdx.x; ++i) before += sums[i];
  for (int64_t i = begin; i < end; ++i) {
    begins[i] = before;
    before += counts[i];
    counts[i] = 0;
  }
  if (threadIdx.x == kThreads - 1) begins[pages] = before;
}

__global__ void __launch_bounds__(kThreads)
    ListUsersKernel(const AttentionSequence* sequences, const int32_t* begins, int32_t* counts,
                    int32_t* users) {
  const AttentionSequence sequence = sequences[blockIdx.x];
  for (int64_t i = threadIdx.x; i < PagesOf(sequence); i += kThreads) {
    const int32_t page = sequence.pages[i];
    const int32_t at = begins[page] + atomicAdd(&counts[page], 1);
    users[2 * at] = static_cast<int32_t>(blockIdx.x);
    users[2 * at + 1] = static_cast<int32_t>(i);
  }
}

// A block for one page of one key/value head: the gradients of its 16 keys and values. Its warps
// take tiles of 16 rows in turn, sequence after sequence, and are added in order.
template <typename T, int kE>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce)
    KeyGradientKernel(AttentionBackwardArgs args, PageUsers users, const float* deltas) {
  using Sizes = AttentionTile<T, kE>;
  const int64_t page = blockIdx.x, width = args.shape.head_width;
  const int32_t begin = users.begins[page], end = users.begins[page + 1];
  if (begin == end) return;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  T* const keys = reinterpret_cast<T*>(SharedMemory());
  T* const values = keys + Sizes::kRowElements;
  T* const q = values + Sizes::kRowElements + warp * 2 * Sizes::kRowElements;
  T* const d_out = q + Sizes::kRowElements;
  float* const scratch =
      reinterpret_cast<float*>(values + (1 + 2 * kAttentionWarps) * Sizes::kRowElements) +
      warp * 16 * kScratchStride;
  float d_keys[kE / 8][4], d_values[kE / 8][4];
#pragma unroll
  for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) d_keys[j][i] = d_values[j][i] = 0;
  }
  int32_t last = -1;
  for (int32_t done = begin; done < end; ++done) {
    // The next sequence by number: the list's order is chance.
    int32_t number = INT32_MAX, place = 0;
    for (int32_t i = begin; i < end; ++i) {
      if (users.users[2 * i] <= last || users.users[2 * i] >= number) continue;
      number = users.users[2 * i];
      place = users.users[2 * i + 1];
    }
    last = number;
    const HeadRows rows =
        MakeHeadRows(args.sequences[number], args.heads, args.shape.kv_heads, blockIdx.y);
    const int first_key = place * int{kPageTokens};
    // Every sequence has the same keys here, but not as many of them.
    __syncthreads();
    CopyKeys<T, kE>(keys, args.cache.keys, rows, first_key, 16, args.shape, threadIdx.x,
                    kAttentionThreads);
    CopyKeys<T, kE>(values, args.cache.values, rows, first_key, 16, args.shape, threadIdx.x,
                    kAttentionThreads);
    WaitForCopies<0>();
    __syncthreads();
    const int before = rows.key_count - rows.query_count;
    const int first_query = first_key > before ? first_key - before : 0;
    for (int first = first_query * rows.group + warp * 16; first < rows.Count();
         first += kAttentionWarps * 16) {
      LoadRows<T, kE>(q, args.q, rows, first, 16, width, lane, kWarp);
      LoadRows<T, kE>(d_out, args.d_out, rows, first, 16, width, lane, kWarp);
      __syncwarp();
      float scores[2][4], d_weights[2][4];
      MultiplyRows<T, kE>(scores, keys, q);
      MultiplyRows<T, kE>(d_weights, values, d_out);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int r = first + 8 * j + lane % 4 * 2 + i % 2;
          const int key = first_key + lane / 4 + i / 2 * 8;
          const bool is_seen = r < rows.Count() && key < rows.Visible(r);
          const int64_t at = is_seen ? rows.At(r) : 0;
          const float weight =
              is_seen ? __expf(scores[j][i] * args.scale - args.logsumexp[at]) : 0.0f;
          scores[j][i] = weight;
          d_weights[j][i] = is_seen ? weight * (d_weights[j][i] - deltas[at]) * args.scale : 0.0f;
        }
      }
      AddWeighted<T, kE>(d_values, ToFragmentA<T>(scores[0], scores[1], scratch), d_out);
      AddWeighted<T, kE>(d_keys, ToFragmentA<T>(d_weights[0], d_weights[1], scratch), q);
      __syncwarp();  // all have read before the next rows come
    }
  }
  // The warps meet in the memory of the rows: [kAttentionWarps, 16, kE].
  float* const parts = reinterpret_cast<float*>(values + Sizes::kRowElements);
  const auto add = [&](const float(&mine)[kE / 8][4], float* to) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        parts[(warp * 16 + lane / 4 + i / 2 * 8) * kE + 8 * j + lane % 4 * 2 + i % 2] = mine[j][i];
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * kE; i += kAttentionThreads) {
      const int64_t slot = page * kPageTokens + i / kE, e = i % kE;
      if (e >= width) continue;
      float sum = parts[i];
      for (int other = 1; other < kAttentionWarps; ++other) sum += parts[other * 16 * kE + i];
      to[(slot * args.shape.kv_heads + blockIdx.y) * width + e] += sum;
    }
  };
  add(d_keys, args.d_keys);
  add(d_values, args.d_values);
}

template <typename T, int kE>
constexpr int64_t KeyGradientBytes() {
  using Sizes = AttentionTile<T, kE>;
  constexpr int64_t kRows = 2 * kAttentionWarps * Sizes::kRowElements * int64_t{sizeof(T)};
  static_assert(kAttentionWarps * 16 * kE * 4 <= kRows + Sizes::kScratchBytes);
  return 2 * Sizes::kRowElements * static_cast<int64_t>(sizeof(T)) + kRows + Sizes::kScratchBytes;
}

PageUsers FindPageUsers(const CudaContext& context, const AttentionBackwardArgs& args) {
  // No sequence names a page twice.
  const int64_t pages = args.shape.pages;
  auto* const counts = context.workspace.Take<int32_t>(pages);
  auto* const begins = context.workspace.Take<int32_t>(pages + 1);
  auto* const users = context.workspace.Take<int32_t>(2 * pages * args.sequence_count);
  CheckCuda(cudaMemsetAsync(counts, 0, static_cast<size_t>(pages) * 4, context.stream), "memset");
  Launch({.blocks = args.sequence_count, .threads = kThreads}, context.stream, CountUsersKernel,
         args.sequences, counts);
  Launch({.blocks = 1, .threads = kThreads}, context.stream, CumulateKernel, counts, pages, begins);
  Launch({.blocks = args.sequence_count, .threads = kThreads}, context.stream, ListUsersKernel,
         args.sequences, begins, counts, users);
  return {begins, users};
}

}  // namespace

void AttentionBackward(const CudaContext& context, const AttentionBackwardArgs& args) {
  CheckHeads(args.shape, args.rows, args.heads);
  PONDER_CHECK(args.sequence_count >= 0);
  if (args.rows == 0 || args.sequence_count == 0) return;
  PONDER_CHECK(args.q != nullptr && args.out != nullptr && args.sequences != nullptr &&
               args.cache.keys != nullptr && args.cache.values != nullptr);
  PONDER_CHECK(args.logsumexp != nullptr && args.d_out != nullptr && args.d_q != nullptr &&
               args.d_keys != nullptr && args.d_values != nullptr);
  PONDER_CHECK(args.out_act == args.shape.dtype);
  const int64_t group = args.heads / args.shape.kv_heads;
  context.workspace.Reset();
  auto* const deltas = context.workspace.Take<float>(args.rows * args.heads);
  const int32_t* const ends = PlanTiles(context, args.sequences, args.sequence_count, group, 0);
  const PageUsers users = FindPageUsers(context, args);
  ForType(args.shape.dtype, [&]<typename T>() {
    Launch({.blocks = CeilDivide(args.rows * args.heads, kThreads / kWarp), .threads = kThreads},
           context.stream, DeltaKernel<T>, args, PaddedInputs(args.heads * args.shape.head_width),
           deltas);
    ForHeadWidth(args.shape.head_width, [&]<int kE>() {
      Launch({.blocks = TileBound(args.rows, args.sequence_count, group),
              .blocks_y = args.shape.kv_heads,
              .threads = kAttentionThreads,
              .shared_bytes = QueryGradientBytes<T, kE>()},
             context.stream, QueryGradientKernel<T, kE>, args, ends, deltas);
      Launch({.blocks = args.shape.pages,
              .blocks_y = args.shape.kv_heads,
              .threads = kAttentionThreads,
              .shared_bytes = KeyGradientBytes<T, kE>()},
             context.stream, KeyGradientKernel<T, kE>, args, users, deltas);
    });
  });
}

}  // namespace ponder::kernels::cuda
