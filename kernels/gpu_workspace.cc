#include "kernels/gpu_workspace.h"

#include <algorithm>
#include <initializer_list>

#include "kernels/operations.h"
#include "kernels/packed_matrix.h"

namespace ponder::kernels {
namespace {

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// As kernels/cuda/workspace.cc deals them out.
int64_t Together(std::initializer_list<int64_t> arrays) {
  int64_t bytes = 0;
  for (const int64_t array : arrays) bytes += CeilDivide(std::max<int64_t>(array, 1), 256) * 256;
  return bytes;
}

// Of sums down the rows of a table (reduce.cuh).
int64_t ColumnSums(int64_t rows, int64_t width) { return CeilDivide(rows, 512) * width * 4; }

// A maximum and two sums of each tile of 128 outputs (logits.cuh).
int64_t TileStats(int64_t rows, int64_t vocabulary) {
  return rows * CeilDivide(vocabulary, 128) * 12;
}

int64_t LinearBackward(const GpuWork& work, int64_t outputs) {
  const int64_t rows = work.learner_rows;
  return Together({rows * PaddedInputs(outputs) * SizeOf(work.dtype), ColumnSums(rows, outputs)});
}

int64_t LogProbBackward(const GpuWork& work) {
  constexpr int64_t kChunkBytes = 256 << 20;
  const int64_t size = SizeOf(work.dtype), padded = PaddedInputs(work.vocabulary);
  const int64_t rows =
      std::min(std::clamp<int64_t>(kChunkBytes / (padded * size), 64, 4096), work.learner_rows);
  return Together({work.learner_rows * 4, 4, rows * padded * size,
                   rows * PaddedInputs(work.width) * size, rows * work.width * 4});
}

int64_t AttentionBackward(const GpuWork& work) {
  const int64_t pages = work.learner_pages;
  return Together({work.learner_rows * work.heads * 4, pages * 4, pages * 4, (pages + 1) * 4,
                   2 * pages * pages * 4});
}

int64_t QkvRopeBackward(const GpuWork& work) {
  const int64_t sums = ColumnSums(work.learner_rows, work.head_width);
  return Together({work.learner_rows * 2 * work.head_width * 4, sums, sums});
}

// Four chains of each of 16 rows for a key/value head and a segment of keys.
int64_t DecodeAttention(const GpuWork& work) {
  const int64_t width = work.head_width <= 32 ? 32 : work.head_width <= 64 ? 64 : 128;
  int64_t segments = work.sampled_rows * CeilDivide(work.sampled_keys, kSegmentKeys);
  if (work.sampled_keys > kSegmentKeys) segments += segments / 8;  // as a recording pads them
  return Together(
      {segments * work.kv_heads * kDecodeRows * 4 * (width + 8) * 4, work.sampled_rows * 4});
}

// Of a product whose chains of 1,024 are made side by side, which a device with many
// multiprocessors does while its tiles are few.
int64_t Chains(int64_t rows, int64_t outputs, int64_t inputs) {
  constexpr int64_t kTiles = 2 * 160, kTileElements = 64 * 128;
  if (outputs > 2048 || inputs <= 2048) return 0;
  const int64_t elements = std::min(rows * CeilDivide(outputs, 16) * 16, kTiles * kTileElements);
  return Together({CeilDivide(inputs, 1024) * elements * 4});
}

// With top-k and top-p: the scores of 16 rows.
int64_t Sample(const GpuWork& work) {
  const int64_t rows = work.sampled_rows;
  return Together({rows * 4, TileStats(rows, work.vocabulary), rows * 48, (rows + 1) * 4,
                   16 * work.vocabulary * 4});
}

}  // namespace

int64_t GpuWorkspaceBytes(const GpuWork& work) {
  const int64_t qkv = (work.heads + 2 * work.kv_heads) * work.head_width;
  int64_t most = 0;
  if (work.learner_rows > 0) {
    most =
        std::max({LinearBackward(work, 2 * work.ffn_width), LinearBackward(work, qkv),
                  LinearBackward(work, work.width), LogProbBackward(work), AttentionBackward(work),
                  QkvRopeBackward(work),
                  Together({TileStats(work.learner_rows, work.vocabulary), work.learner_rows * 4}),
                  Together({ColumnSums(work.learner_rows, work.width)}),
                  Together({CeilDivide(work.largest_matrix, 1 << 16) * 8})});
  }
  const int64_t rows = std::max(work.learner_rows, work.step_rows);
  most = std::max({most, Chains(rows, work.width, work.ffn_width),
                   Chains(rows, work.width, work.heads * work.head_width)});
  if (work.is_fast) most = std::max(most, Together({rows * PaddedInputs(2 * work.ffn_width) * 2}));
  if (work.sampled_rows > 0) most = std::max({most, DecodeAttention(work), Sample(work)});
  return most;
}

}  // namespace ponder::kernels
