#pragma once

#include "kernels/cuda/matmul.cuh"
#include "kernels/operations.h"

// What the attention kernels share. The rows of one key/value head of a sequence are its queries
// times the query heads of the group: row r is query r / group, head r % group. Keys go by blocks;
// a warp holds 16 rows.
//
// Exactness: keys come in segments of kSegmentKeys; the blocks of a segment are dealt out to
// kStreams chains in turn, each with its own maximum, sum and values, and the chains of all
// segments are merged in order. A decoding row has a warp for each chain and a block of threads for
// each segment, a row of a prompt one warp for all, one after the other: the same arithmetic.
namespace ponder::kernels::cuda {

inline constexpr int kAttentionWarps = 4;
inline constexpr int kAttentionThreads = kAttentionWarps * kWarp;
inline constexpr int kStreams = kAttentionWarps;
// On a multiprocessor, at least: leaves a thread as many registers as there can be (255).
inline constexpr int kBlocksAtOnce = 2;

// Sizes for a head width up to kE; shared memory of the fp32 kernels must fit too.
template <typename T, int kE>
struct AttentionTile {
  static constexpr int kKeys = sizeof(T) == 4 ? 16 : 32;  // of a block
  static constexpr int kSegmentBlocks = kSegmentKeys / kKeys;
  static_assert(kSegmentBlocks % kStreams == 0 && kRunKeys % kKeys == 0);
  static constexpr int kStride = kE + kRowPadding<T>;
  static constexpr int kRowElements = 16 * kStride;     // 16 rows of queries
  static constexpr int kKeyElements = kKeys * kStride;  // a block of keys, or of values
  static constexpr int kScratchBytes = kAttentionWarps * 16 * kScratchStride * 4;
};

// The rows of one key/value head of a sequence. Counts are narrow: they stay in registers.
struct HeadRows {
  const int32_t* pages = nullptr;
  int64_t query_begin = 0;
  int query_count = 0, key_count = 0;
  int heads = 0, group = 0, kv_head = 0;

  __device__ int Count() const { return query_count * group; }
  // Of [N, H]: where row r lies.
  __device__ int64_t At(int r) const {
    return (query_begin + r / group) * heads + kv_head * group + r % group;
  }
  // How many keys row r sees.
  __device__ int Visible(int r) const { return key_count - query_count + r / group + 1; }
};

__device__ inline HeadRows MakeHeadRows(const AttentionSequence& sequence, int64_t heads,
                                        int64_t kv_heads, int64_t kv_head) {
  return {sequence.pages,
          sequence.query_begin,
          static_cast<int>(sequence.query_count),
          static_cast<int>(sequence.key_count),
          static_cast<int>(heads),
          static_cast<int>(heads / kv_heads),
          static_cast<int>(kv_head)};
}

// `rows` rows from `first` on of an fp32 array [N, H, E], narrowed; beyond the end zeros.
template <typename T, int kE>
__device__ void LoadRows(T* to, const float* from, const HeadRows& rows, int first, int count,
                         int64_t width, int thread, int threads) {
  for (int i = thread; i < count * kE; i += threads) {
    const int r = first + i / kE;
    const int e = i % kE;
    const bool is_there = r < rows.Count() && e < width;
    to[i / kE * AttentionTile<T, kE>::kStride + e] =
        Narrow<T>(is_there ? from[rows.At(r) * width + e] : 0.0f);
  }
}

// `count` keys (or values) from `first` on; zeros beyond the last key and beyond the head's width.
// Ends with a commit.
template <typename T, int kE>
__device__ void CopyKeys(T* to, const void* cache, const HeadRows& rows, int first, int count,
                         const KvShape& shape, int thread, int threads) {
  constexpr int kChunk = 16 / sizeof(T);
  constexpr int kChunks = kE / kChunk;
  const int64_t width = shape.head_width;
  const T* const base = static_cast<const T*>(cache);
  for (int i = thread; i < count * kChunks; i += threads) {
    const int key = first + i / kChunks;
    const int e = i % kChunks * kChunk;
    const bool is_there = key < rows.key_count && e < width;
    const int64_t page = is_there ? rows.pages[key / int{kPageTokens}] : 0;
    const T* const from =
        base +
        ((page * shape.kv_heads + rows.kv_head) * kPageTokens + key % int{kPageTokens}) * width;
    T* const at = to + i / kChunks * AttentionTile<T, kE>::kStride + e;
    if (width % kChunk == 0) {
      CopyAsync16(at, is_there ? from + e : base, is_there);
    } else {
      for (int j = 0; j < kChunk; ++j)
        at[j] = is_there && e + j < width ? from[e + j] : Narrow<T>(0.0f);
    }
  }
  CommitCopies();
}

// scores[j]: 16 rows of `rows` times keys 8 j ... of `keys`, both [., E] in shared memory.
template <typename T, int kE, int kCount>
__device__ void MultiplyRows(float (&scores)[kCount][4], const T* rows, const T* keys) {
  constexpr int kStride = AttentionTile<T, kE>::kStride;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[j][i] = 0;
  }
#pragma unroll
  for (int e = 0; e < kE; e += 16) {
    const FragmentA<T> a = LoadA<Major::kK>(rows + e, kStride);
#pragma unroll
    for (int j = 0; j < kCount; j += 2) {
      const FragmentB<T> b = LoadB<Major::kK>(keys + j * 8 * kStride + e, kStride);
      Multiply(scores[j], scores[j + 1], a, b);
    }
  }
}

// acc[j] += weights (16 x 16, accumulators of two neighbours) times 16 rows of `values` [., E].
template <typename T, int kE>
__device__ void AddWeighted(float (&acc)[kE / 8][4], const FragmentA<T>& weights, const T* values) {
  constexpr int kStride = AttentionTile<T, kE>::kStride;
#pragma unroll
  for (int j = 0; j < kE / 8; j += 2) {
    const FragmentB<T> b = LoadB<Major::kOther>(values + j * 8, kStride);
    Multiply(acc[j], acc[j + 1], weights, b);
  }
}

// run.template operator()<kE>() for the smallest width that holds the heads.
template <typename Run>
void ForHeadWidth(int64_t width, Run run) {
  if (width <= 32) {
    run.template operator()<32>();
  } else if (width <= 64) {
    run.template operator()<64>();
  } else {
    run.template operator()<128>();
  }
}

// Which sequence and which tile of `kTileRows` rows a block has: ends [B] counts the tiles of all
// sequences up to each, made by PlanTiles. At most TileBound of them.
inline constexpr int kTileRows = 16 * kAttentionWarps;
int64_t TileBound(int64_t rows, int64_t sequences, int64_t group);
// Sequences of at most `skipped_rows` rows of a head get no tiles.
const int32_t* PlanTiles(const CudaContext& context, const AttentionSequence* sequences,
                         int64_t count, int64_t group, int64_t skipped_rows);

struct TileOfSequence {
  int64_t sequence = -1;  // -1: none is left
  int64_t tile = 0;
};
__device__ inline TileOfSequence FindTile(const int32_t* ends, int64_t count, int64_t block) {
  if (block >= ends[count - 1]) return {};
  int64_t low = 0, high = count - 1;  // the first whose end is beyond
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (ends[middle] > block) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return {low, block - (low == 0 ? 0 : ends[low - 1])};
}

// Of `rows` rows with `heads` query heads.
void CheckHeads(const KvShape& shape, int64_t rows, int64_t heads);

}  // namespace ponder::kernels::cuda
