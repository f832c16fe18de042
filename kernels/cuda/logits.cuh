#pragma once

#include "kernels/cuda/matmul.cuh"
#include "kernels/operations.h"

// What sampler, scorer and learner know of the vocabulary: scores of tiles of 128 outputs, summed
// by themselves, then merged in one order. No [N, V] array is ever there.
namespace ponder::kernels::cuda {

inline constexpr int kVocabularyTile = 128;
inline int64_t VocabularyTiles(int64_t vocabulary) {
  return CeilDivide(vocabulary, kVocabularyTile);
}

// Of the scores s = logit * inverse temperature of one row in one tile.
struct TileStats {
  float max;
  float sum;       // exp(s - max)
  float weighted;  // exp(s - max) (s - max)
};

// Of a whole row.
struct LogitSummary {
  double max;
  double log_sum;   // log sum exp(s - max)
  double weighted;  // mean of s - max

  __device__ float LogProb(float score) const {
    return static_cast<float>((static_cast<double>(score) - max) - log_sum);
  }
  __device__ float Entropy() const { return static_cast<float>(log_sum - weighted); }
};

// Columns lie on warps in the same way in all of them, so that a tile's sums have one order.
template <typename T>
using ManyRowsTile = Tile<T, sizeof(T) == 4 ? 64 : 128, kVocabularyTile, sizeof(T) == 4 ? 32 : 64,
                          32, Major::kK, Major::kK>;
template <typename T>
using FewRowsTile = Tile<T, 16, kVocabularyTile, 16, 32, Major::kK, Major::kK>;

// One pass over the vocabulary.
struct LogitRows {
  const void* hidden = nullptr;                 // [rows, padded D] act
  PackedMatrix w;                               // [V, D]
  const float* inverse_temperatures = nullptr;  // [rows]
  const int32_t* targets = nullptr;             // [rows], or null
  float* target_scores = nullptr;               // [rows], minus infinity before
  TileStats* tiles = nullptr;                   // [rows, VocabularyTiles(V)]
  int64_t rows = 0;
};
void LaunchTileStats(const CudaContext& context, const LogitRows& args);

// One block of 256 threads merges a row's tiles; every thread gets the summary.
inline constexpr int kSummaryThreads = 256;
__device__ inline LogitSummary MergeTiles(const TileStats* tiles, int64_t count) {
  float max = kMinusInfinity;
  for (int64_t i = threadIdx.x; i < count; i += kSummaryThreads) max = fmaxf(max, tiles[i].max);
  max = BlockMax<kSummaryThreads>(max);
  double sum = 0, weighted = 0;
  for (int64_t i = threadIdx.x; i < count; i += kSummaryThreads) {
    const float below = tiles[i].max - max;
    const double weight = expf(below);
    sum += weight * tiles[i].sum;
    if (below > kMinusInfinity)
      weighted += weight * (static_cast<double>(tiles[i].weighted) +
                            static_cast<double>(below) * tiles[i].sum);
  }
  sum = BlockSum<kSummaryThreads>(sum);
  weighted = BlockSum<kSummaryThreads>(weighted);
  return {max, log(sum), weighted / sum};
}

}  // namespace ponder::kernels::cuda
