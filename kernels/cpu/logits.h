#pragma once

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

// The vocabulary runs in tiles of this many outputs. Scores of a tile are summed by themselves and
// tiles are then merged in order, so sums depend on V alone.
inline constexpr int64_t kVocabularyTile = 512;
// Rows of logits at once: 96 x 512 floats stay in the second-level cache.
inline constexpr int64_t kLogitRows = 96;

inline int64_t VocabularyTiles(int64_t vocabulary) {
  return (vocabulary + kVocabularyTile - 1) / kVocabularyTile;
}

// What rows of hidden states know of the vocabulary after one pass over it.
struct LogitRows {
  const void* hidden = nullptr;                 // [rows, padded D] act
  PackedMatrix w;                               // [V, D]
  const float* inverse_temperatures = nullptr;  // [rows]
  const int32_t* targets = nullptr;             // [rows], or null
  TileStats* tiles = nullptr;                   // [rows, VocabularyTiles(V)]: kept where not null
  int64_t rows = 0;
};

// Of the scores s = logit * inverse temperature of a row.
struct LogitSummary {
  double max = 0;
  double log_sum = 0;      // log sum exp(s - max)
  double entropy = 0;      // nats
  float target_score = 0;  // s of the row's target

  double LogSumExp() const { return max + log_sum; }
  // Log-prob of a token with score s. Both LogProb and Sample end here.
  float LogProb(float score) const {
    return static_cast<float>((static_cast<double>(score) - max) - log_sum);
  }
};

// summaries: [rows].
void Summarise(const CpuContext& context, const LogitRows& args, LogitSummary* summaries);

void LogProb(const CpuContext& context, const LogProbArgs& args);
void LogProbBackward(const CpuContext& context, const LogProbBackwardArgs& args);

}  // namespace ponder::kernels::cpu
