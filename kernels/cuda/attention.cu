#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/operations.h"

namespace ponder::kernels::cuda {
namespace {

constexpr int kPlanThreads = 256;
static_assert(kRunRows == kTileRows);

// One chain of 16 rows: what a thread holds are rows g and g + 8.
template <int kE>
struct Chain {
  float max[2], sum[2], acc[kE / 8][4];

  __device__ void Clear() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      max[half] = kMinusInfinity;
      sum[half] = 0;
    }
#pragma unroll
    for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) acc[j][i] = 0;
    }
  }
};

// What is kept of one chain of one row: kE values, the four partial sums of a row's threads, the
// maximum.
template <int kE>
inline constexpr int kChainFloats = kE + 8;

// The chains that blocks of threads leave to each other, [segments, K, kDecodeRows, kStreams,
// kChainFloats]: of row r of a key/value head in one segment.
template <int kE>
__device__ float* ChainAt(float* chains, int64_t segment, int64_t kv_heads, int kv_head, int row,
                          int stream) {
  const int64_t of_row = (segment * kv_heads + kv_head) * kDecodeRows + row;
  return chains + (of_row * kStreams + stream) * kChainFloats<kE>;
}

template <int kE>
__device__ void StoreChain(const Chain<kE>& chain, int half, float* to) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) to[8 * j + 2 * t + i] = chain.acc[j][2 * half + i];
  }
  to[kE + t] = chain.sum[half];
  if (t == 0) to[kE + 4] = chain.max[half];
}

template <int kE>
__device__ void LoadChain(Chain<kE>& chain, int half, const float* from) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) chain.acc[j][2 * half + i] = from[8 * j + 2 * t + i];
  }
  chain.sum[half] = from[kE + t];
  chain.max[half] = from[kE + 4];
}

// exp(a - b), where b is a maximum over what a is of; 0 as long as nothing was seen.
__device__ inline float Below(float a, float b) {
  return b == kMinusInfinity ? 0.0f : __expf(a - b);
}

// One block of keys: visible[half] of them are seen by row g + 8 half.
template <typename T, int kE>
__device__ void AddBlock(Chain<kE>& chain, const T* q, const T* keys, const T* values,
                         const int (&visible)[2], float scale, float* scratch) {
  using Sizes = AttentionTile<T, kE>;
  constexpr int kParts = Sizes::kKeys / 8;
  const int t = threadIdx.x % 4;
  float scores[kParts][4];
  MultiplyRows<T, kE>(scores, q, keys);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float max = kMinusInfinity;
#pragma unroll
    for (int j = 0; j < kParts; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores[j][2 * half + i];
        score = 8 * j + 2 * t + i < visible[half] ? score * scale : kMinusInfinity;
        max = fmaxf(max, score);
      }
    }
    max = fmaxf(chain.max[half], QuadMax(max));
    const float change = Below(chain.max[half], max);
    chain.max[half] = max;
    float sum = chain.sum[half] * change;
#pragma unroll
    for (int j = 0; j < kParts; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores[j][2 * half + i];
        score = Below(score, max);
        sum += score;
      }
    }
    chain.sum[half] = sum;
#pragma unroll
    for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) chain.acc[j][2 * half + i] *= change;
    }
  }
#pragma unroll
  for (int k = 0; k < Sizes::kKeys; k += 16) {
    const FragmentA<T> weights = ToFragmentA<T>(scores[k / 8], scores[k / 8 + 1], scratch);
    AddWeighted<T, kE>(chain.acc, weights, values + k * Sizes::kStride);
  }
}

// Two chains of the same rows become one.
__device__ inline void MergeSums(float& max, float& sum, float other_max, float other_sum,
                                 float* change, float* other_change) {
  const float larger = fmaxf(max, other_max);
  *change = Below(max, larger);
  *other_change = Below(other_max, larger);
  sum = fmaf(other_sum, *other_change, sum * *change);
  max = larger;
}
__device__ inline float MergeValue(float value, float change, float other, float other_change) {
  return fmaf(other, other_change, value * change);
}

template <typename T>
__device__ void StoreOut(const AttentionArgs& args, int64_t at, int64_t e, int64_t width,
                         int64_t padded, float value) {
  const int64_t row = at / args.heads, head = at % args.heads;
  static_cast<T*>(args.out)[row * padded + head * width + e] = Narrow<T>(value);
}

// The padding behind a row's last head.
template <typename T>
__device__ void ZeroPadding(const AttentionArgs& args, int64_t row, int64_t width, int64_t padded) {
  for (int64_t i = args.heads * width; i < padded; ++i)
    static_cast<T*>(args.out)[row * padded + i] = Narrow<T>(0.0f);
}

// Blocks in the order of the chains, segment after segment: 0, 4, 8, ..., 1, 5, 9, ...; -1 behind
// the last. A chain goes on where the next block is `block` + kStreams.
template <int kSegmentBlocks>
__device__ int NextBlock(int block, int blocks) {
  const int begin = block / kSegmentBlocks * kSegmentBlocks;
  const int end = begin + kSegmentBlocks < blocks ? begin + kSegmentBlocks : blocks;
  if (block + kStreams < end) return block + kStreams;
  const int chain = block % kStreams + 1;
  if (chain < kStreams && begin + chain < end) return begin + chain;
  return end < blocks ? end : -1;
}

// Keys and values of a block (none: -1) into one of two stages. Ends with two commits.
template <typename T, int kE>
__device__ void CopyBlock(T* stages, int stage, int block, const HeadRows& rows,
                          const AttentionArgs& args) {
  using Sizes = AttentionTile<T, kE>;
  if (block < 0) {
    CommitCopies();
    CommitCopies();
    return;
  }
  T* const to = stages + stage * 2 * Sizes::kKeyElements;
  CopyKeys<T, kE>(to, args.cache.keys, rows, block * Sizes::kKeys, Sizes::kKeys, args.shape,
                  threadIdx.x, kAttentionThreads);
  CopyKeys<T, kE>(to + Sizes::kKeyElements, args.cache.values, rows, block * Sizes::kKeys,
                  Sizes::kKeys, args.shape, threadIdx.x, kAttentionThreads);
}

// A block of threads for a run of sequences, one key/value head and one segment: the beginnings of
// their chains, over the keys that they share. A warp for 16 rows.
template <typename T, int kE>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce)
    RunKernel(AttentionArgs args, float* chains) {
  using Sizes = AttentionTile<T, kE>;
  const AttentionRun run = args.runs[blockIdx.x];
  const int number = static_cast<int>(blockIdx.z);
  const int first_block = number * Sizes::kSegmentBlocks;
  const int run_blocks = run.keys / Sizes::kKeys;
  if (first_block >= run_blocks) return;
  HeadRows rows =
      MakeHeadRows(args.sequences[run.first], args.heads, args.shape.kv_heads, blockIdx.y);
  rows.query_count = run.count;  // neighbours with a row each
  rows.key_count = run.keys;
  const int count = rows.Count();
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  T* const all_q = reinterpret_cast<T*>(SharedMemory());
  T* const stages = all_q + kAttentionWarps * Sizes::kRowElements;
  float* const scratch =
      reinterpret_cast<float*>(stages + 2 * 2 * Sizes::kKeyElements) + warp * 16 * kScratchStride;
  LoadRows<T, kE>(all_q, args.q, rows, 0, kTileRows, args.shape.head_width, threadIdx.x,
                  kAttentionThreads);
  const int blocks = first_block + Sizes::kSegmentBlocks < run_blocks
                         ? first_block + Sizes::kSegmentBlocks
                         : run_blocks;
  const int row = warp * 16 + lane / 4;
  Chain<kE> chain;
  chain.Clear();
  CopyBlock<T, kE>(stages, 0, first_block, rows, args);
  int stage = 0;
  for (int block = first_block; block >= 0; stage ^= 1) {
    const int next = NextBlock<Sizes::kSegmentBlocks>(block, blocks);
    CopyBlock<T, kE>(stages, stage ^ 1, next, rows, args);
    WaitForCopies<2>();
    __syncthreads();
    if (warp * 16 < count) {
      constexpr int kAll[2] = {Sizes::kKeys, Sizes::kKeys};
      const T* const keys = stages + stage * 2 * Sizes::kKeyElements;
      AddBlock<T, kE>(chain, all_q + warp * Sizes::kRowElements, keys, keys + Sizes::kKeyElements,
                      kAll, args.scale, scratch);
      if (next != block + kStreams) {
        for (int half = 0; half < 2; ++half) {
          const int r = row + 8 * half;
          if (r >= count) continue;
          const int64_t segment = args.sequences[run.first + r / rows.group].segment_begin + number;
          StoreChain<kE>(chain, half,
                         ChainAt<kE>(chains, segment, args.shape.kv_heads, rows.kv_head,
                                     r % rows.group, block % kStreams));
        }
        chain.Clear();
      }
    }
    __syncthreads();  // all have read before the stage is filled again
    block = next;
  }
  WaitForCopies<0>();
}

// What becomes of a row's element e once its chains are merged.
template <typename T>
__device__ void FinishElement(const AttentionArgs& args, const HeadRows& rows, int row, int e,
                              float max, float sum, float value, int64_t padded) {
  const int64_t at = rows.At(row), width = args.shape.head_width;
  if (e < width) StoreOut<T>(args, at, e, width, padded, value / sum);
  if (e == 0 && args.logsumexp != nullptr) args.logsumexp[at] = max + logf(sum);
  if (e == 0 && at % args.heads == args.heads - 1)
    ZeroPadding<T>(args, at / args.heads, width, padded);
}

// A block of threads for a segment of a sequence with kDecodeRows rows or fewer, one key/value
// head: a warp a chain. Of a sequence of a run it goes on from what RunKernel has left in `chains`;
// where the sequence has several segments, it leaves its chains there for MergeKernel.
template <typename T, int kE>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce)
    DecodeKernel(AttentionArgs args, float* chains, int64_t padded) {
  using Sizes = AttentionTile<T, kE>;
  const AttentionSegment segment = args.segments[blockIdx.x];
  if (segment.sequence < 0) return;
  const AttentionSequence& sequence = args.sequences[segment.sequence];
  const HeadRows rows = MakeHeadRows(sequence, args.heads, args.shape.kv_heads, blockIdx.y);
  const int first_block = segment.number * Sizes::kSegmentBlocks;
  const int end_key = (segment.number + 1) * int{kSegmentKeys} < rows.key_count
                          ? (segment.number + 1) * int{kSegmentKeys}
                          : rows.key_count;
  // Blocks of this segment that the run has done.
  const int shared = static_cast<int>(sequence.shared_keys) / Sizes::kKeys - first_block;
  const int begun = chains == nullptr || args.runs == nullptr || shared < 0 ? 0 : shared;
  const int64_t width = args.shape.head_width;
  const int count = rows.Count();
  // None are left of a sequence that was stopped (FollowArgs).
  if (count == 0 || begun >= Sizes::kSegmentBlocks) return;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  T* const q = reinterpret_cast<T*>(SharedMemory());
  T* const keys = q + Sizes::kRowElements + warp * 2 * Sizes::kKeyElements;
  T* const values = keys + Sizes::kKeyElements;
  float* const scratch = reinterpret_cast<float*>(q + Sizes::kRowElements +
                                                  kAttentionWarps * 2 * Sizes::kKeyElements) +
                         warp * 16 * kScratchStride;
  LoadRows<T, kE>(q, args.q, rows, 0, 16, width, threadIdx.x, kAttentionThreads);
  __syncthreads();
  Chain<kE> chain;
  chain.Clear();
  const auto stored = [&](int row) {
    return ChainAt<kE>(chains, blockIdx.x, args.shape.kv_heads, rows.kv_head, row, warp);
  };
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    if (warp < begun && row < count) LoadChain<kE>(chain, half, stored(row));
  }
  const int seen[2] = {rows.Visible(lane / 4), rows.Visible(lane / 4 + 8)};
  const int own_block = first_block + begun + (warp + kStreams - begun % kStreams) % kStreams;
  for (int first = own_block * Sizes::kKeys; first < end_key; first += kStreams * Sizes::kKeys) {
    CopyKeys<T, kE>(keys, args.cache.keys, rows, first, Sizes::kKeys, args.shape, lane, kWarp);
    CopyKeys<T, kE>(values, args.cache.values, rows, first, Sizes::kKeys, args.shape, lane, kWarp);
    WaitForCopies<0>();
    __syncwarp();
    const int visible[2] = {seen[0] - first, seen[1] - first};
    AddBlock<T, kE>(chain, q, keys, values, visible, args.scale, scratch);
    __syncwarp();  // all have read before the next block comes
  }
  if (rows.key_count > kSegmentKeys) {
    for (int half = 0; half < 2; ++half) {
      const int row = lane / 4 + 8 * half;
      if (row < count) StoreChain<kE>(chain, half, stored(row));
    }
    return;
  }
  __syncthreads();

  // The chains meet in shared memory: values [kStreams, 16, kE], then maxima and sums [kStreams,
  // 16].
  float* const parts = reinterpret_cast<float*>(SharedMemory());
  float* const maxima = parts + kStreams * 16 * kE;
  float* const sums = maxima + kStreams * 16;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    const float sum = QuadSum(chain.sum[half]);
    if (lane % 4 == 0) {
      maxima[warp * 16 + row] = chain.max[half];
      sums[warp * 16 + row] = sum;
    }
#pragma unroll
    for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        parts[(warp * 16 + row) * kE + 8 * j + lane % 4 * 2 + i] = chain.acc[j][2 * half + i];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < count * kE; i += kAttentionThreads) {
    const int row = i / kE, e = i % kE;
    float max = maxima[row], sum = sums[row], value = parts[i];
    for (int stream = 1; stream < kStreams; ++stream) {
      float change, other_change;
      MergeSums(max, sum, maxima[stream * 16 + row], sums[stream * 16 + row], &change,
                &other_change);
      value = MergeValue(value, change, parts[stream * 16 * kE + i], other_change);
    }
    FinishElement<T>(args, rows, row, e, max, sum, value, padded);
  }
}

// A block of threads for a sequence that decodes over several segments, one key/value head.
template <typename T, int kE>
__global__ void __launch_bounds__(kAttentionThreads)
    MergeKernel(AttentionArgs args, float* chains, int64_t padded) {
  const AttentionSequence& sequence = args.sequences[blockIdx.x];
  const HeadRows rows = MakeHeadRows(sequence, args.heads, args.shape.kv_heads, blockIdx.y);
  const int count = rows.Count();
  if (count > kDecodeRows || rows.key_count <= kSegmentKeys) return;
  const int segments = (rows.key_count + int{kSegmentKeys} - 1) / int{kSegmentKeys};
  for (int i = threadIdx.x; i < count * kE; i += kAttentionThreads) {
    const int row = i / kE, e = i % kE;
    float max = kMinusInfinity, sum = 0, value = 0;
    for (int part = 0; part < segments * kStreams; ++part) {
      const float* const chain =
          ChainAt<kE>(chains, sequence.segment_begin + part / kStreams, args.shape.kv_heads,
                      rows.kv_head, row, part % kStreams);
      // As QuadSum adds them.
      const float chain_sum = (chain[kE] + chain[kE + 1]) + (chain[kE + 2] + chain[kE + 3]);
      float change, other_change;
      MergeSums(max, sum, chain[kE + 4], chain_sum, &change, &other_change);
      value = MergeValue(value, change, chain[e], other_change);
    }
    FinishElement<T>(args, rows, row, e, max, sum, value, padded);
  }
}

template <typename T, int kE>
constexpr int64_t DecodeBytes() {
  using Sizes = AttentionTile<T, kE>;
  constexpr int64_t kWork = (Sizes::kRowElements + kAttentionWarps * 2 * Sizes::kKeyElements) *
                                static_cast<int64_t>(sizeof(T)) +
                            Sizes::kScratchBytes;
  constexpr int64_t kMerge = kStreams * 16 * (kE + 2) * 4;
  return kWork > kMerge ? kWork : kMerge;
}

// A block for 64 rows of one key/value head: a warp for 16 of them, the chains one after the other.
template <typename T, int kE>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce)
    PromptKernel(AttentionArgs args, const int32_t* ends, int64_t padded) {
  using Sizes = AttentionTile<T, kE>;
  const TileOfSequence place = FindTile(ends, args.sequence_count, blockIdx.x);
  if (place.sequence < 0) return;
  const HeadRows rows =
      MakeHeadRows(args.sequences[place.sequence], args.heads, args.shape.kv_heads, blockIdx.y);
  const int64_t width = args.shape.head_width;
  const int count = rows.Count();
  const int tile_begin = static_cast<int>(place.tile) * kTileRows;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  T* const all_q = reinterpret_cast<T*>(SharedMemory());
  T* const stages = all_q + kAttentionWarps * Sizes::kRowElements;
  float* const scratch =
      reinterpret_cast<float*>(stages + 2 * 2 * Sizes::kKeyElements) + warp * 16 * kScratchStride;
  const T* const q = all_q + warp * Sizes::kRowElements;
  LoadRows<T, kE>(all_q, args.q, rows, tile_begin, kTileRows, width, threadIdx.x,
                  kAttentionThreads);

  const int last = tile_begin + kTileRows < count ? tile_begin + kTileRows : count;
  const int blocks = (rows.Visible(last - 1) + Sizes::kKeys - 1) / Sizes::kKeys;
  const int row = tile_begin + warp * 16 + lane / 4;
  const int seen[2] = {rows.Visible(row), rows.Visible(row + 8)};
  Chain<kE> total, chain;
  total.Clear();
  chain.Clear();
  CopyBlock<T, kE>(stages, 0, 0, rows, args);
  int stage = 0;
  for (int block = 0; block >= 0; stage ^= 1) {
    const int next = NextBlock<Sizes::kSegmentBlocks>(block, blocks);
    CopyBlock<T, kE>(stages, stage ^ 1, next, rows, args);
    WaitForCopies<2>();
    __syncthreads();
    const int first = block * Sizes::kKeys;
    const int visible[2] = {seen[0] - first, seen[1] - first};
    const T* const keys = stages + stage * 2 * Sizes::kKeyElements;
    AddBlock<T, kE>(chain, q, keys, keys + Sizes::kKeyElements, visible, args.scale, scratch);
    if (next != block + kStreams) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = QuadSum(chain.sum[half]);
        float change, other_change;
        MergeSums(total.max[half], total.sum[half], chain.max[half], sum, &change, &other_change);
#pragma unroll
        for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            total.acc[j][i] = MergeValue(total.acc[j][i], change, chain.acc[j][i], other_change);
          }
        }
      }
      chain.Clear();
    }
    __syncthreads();  // all have read before the stage is filled again
    block = next;
  }
  WaitForCopies<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    if (r >= count) continue;
    const int64_t at = rows.At(r);
#pragma unroll
    for (int j = 0; j < kE / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int e = 8 * j + lane % 4 * 2 + i;
        if (e < width)
          StoreOut<T>(args, at, e, width, padded, total.acc[j][2 * half + i] / total.sum[half]);
      }
    }
    if (lane % 4 != 0) continue;
    if (args.logsumexp != nullptr) args.logsumexp[at] = total.max[half] + logf(total.sum[half]);
    if (at % args.heads == args.heads - 1) ZeroPadding<T>(args, at / args.heads, width, padded);
  }
}

template <typename T, int kE>
constexpr int64_t PromptBytes() {
  using Sizes = AttentionTile<T, kE>;
  return (kAttentionWarps * Sizes::kRowElements + 4 * Sizes::kKeyElements) *
             static_cast<int64_t>(sizeof(T)) +
         Sizes::kScratchBytes;
}

// One block: the tiles of each sequence, cumulated.
__global__ void __launch_bounds__(kPlanThreads)
    PlanTilesKernel(const AttentionSequence* sequences, int64_t count, int64_t group,
                    int64_t skipped_rows, int32_t* ends) {
  PONDER_SHARED(int32_t, sums, kPlanThreads);
  const auto tiles = [&](int64_t i) {
    const int64_t rows = sequences[i].query_count * group;
    return rows <= skipped_rows ? 0 : static_cast<int32_t>((rows + kTileRows - 1) / kTileRows);
  };
  const int64_t run = (count + kPlanThreads - 1) / kPlanThreads;
  const int64_t begin = threadIdx.x * run;
  const int64_t end = begin + run < count ? begin + run : count;
  int32_t mine = 0;
  for (int64_t i = begin; i < end; ++i) mine += tiles(i);
  sums[threadIdx.x] = mine;
  __syncthreads();
  int32_t before = 0;
  for (unsigned i = 0; i < threadIdx.x; ++i) before += sums[i];
  for (int64_t i = begin; i < end; ++i) {
    before += tiles(i);
    ends[i] = before;
  }
}

}  // namespace

void CheckHeads(const KvShape& shape, int64_t rows, int64_t heads) {
  PONDER_CHECK(rows >= 0);
  PONDER_CHECK(heads > 0 && rows <= INT32_MAX / heads);
  PONDER_CHECK(shape.kv_heads > 0 && heads % shape.kv_heads == 0);
  PONDER_CHECK(shape.head_width > 0 && shape.head_width % 2 == 0 &&
               shape.head_width <= kMaxHeadWidth);
}

int64_t TileBound(int64_t rows, int64_t sequences, int64_t group) {
  return CeilDivide(rows * group, kTileRows) + sequences;
}

const int32_t* PlanTiles(const CudaContext& context, const AttentionSequence* sequences,
                         int64_t count, int64_t group, int64_t skipped_rows) {
  auto* const ends = context.workspace.Take<int32_t>(count);
  Launch({.blocks = 1, .threads = kPlanThreads}, context.stream, PlanTilesKernel, sequences, count,
         group, skipped_rows, ends);
  return ends;
}

void Attention(const CudaContext& context, const AttentionArgs& args) {
  CheckHeads(args.shape, args.rows, args.heads);
  PONDER_CHECK(args.sequence_count >= 0);
  if (args.rows == 0 || args.sequence_count == 0) return;
  PONDER_CHECK(args.q != nullptr && args.out != nullptr && args.sequences != nullptr &&
               args.cache.keys != nullptr && args.cache.values != nullptr);
  PONDER_CHECK(args.out_act == args.shape.dtype);
  PONDER_CHECK(args.segment_count == 0 || args.segments != nullptr);
  const int64_t group = args.heads / args.shape.kv_heads;
  const int64_t padded = PaddedInputs(args.heads * args.shape.head_width);
  const bool is_long = args.max_keys > kSegmentKeys;
  context.workspace.Reset();
  ForType(args.shape.dtype, [&]<typename T>() {
    ForHeadWidth(args.shape.head_width, [&]<int kE>() {
      float* chains = nullptr;
      if (args.runs != nullptr || is_long) {
        chains = context.workspace.Take<float>(args.segment_count * args.shape.kv_heads *
                                               kDecodeRows * kStreams * kChainFloats<kE>);
      }
      if (args.runs != nullptr) {
        Launch({.blocks = args.sequence_count,
                .blocks_y = args.shape.kv_heads,
                .blocks_z = CeilDivide(args.max_keys, kSegmentKeys),
                .threads = kAttentionThreads,
                .shared_bytes = PromptBytes<T, kE>()},
               context.stream, RunKernel<T, kE>, args, chains);
      }
      Launch({.blocks = args.segment_count,
              .blocks_y = args.shape.kv_heads,
              .threads = kAttentionThreads,
              .shared_bytes = DecodeBytes<T, kE>()},
             context.stream, DecodeKernel<T, kE>, args, chains, padded);
      if (is_long) {
        Launch({.blocks = args.sequence_count,
                .blocks_y = args.shape.kv_heads,
                .threads = kAttentionThreads},
               context.stream, MergeKernel<T, kE>, args, chains, padded);
      }
      if (args.max_queries > 0 && args.max_queries * group <= kDecodeRows) return;
      const int32_t* const ends =
          PlanTiles(context, args.sequences, args.sequence_count, group, kDecodeRows);
      Launch({.blocks = TileBound(args.rows, args.sequence_count, group),
              .blocks_y = args.shape.kv_heads,
              .threads = kAttentionThreads,
              .shared_bytes = PromptBytes<T, kE>()},
             context.stream, PromptKernel<T, kE>, args, ends, padded);
    });
  });
}

}  // namespace ponder::kernels::cuda
