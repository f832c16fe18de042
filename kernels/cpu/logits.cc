#include "kernels/cpu/logits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/matmul.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int64_t kSummaryRows = 1024;  // rows between merges of tiles: bounds the partial sums
// Backward: rows and outputs whose gradients exist at once (8 MB in bf16).
constexpr int64_t kGradientRows = 1024;
constexpr int64_t kGradientOutputs = 4096;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

LogitSummary Merge(const TileStats* tiles, int64_t count, float target_score) {
  float max = tiles[0].max;
  for (int64_t i = 1; i < count; ++i) max = std::max(max, tiles[i].max);
  double sum = 0;
  double weighted = 0;
  for (int64_t i = 0; i < count; ++i) {
    const TileStats& tile = tiles[i];
    const double shift = static_cast<double>(tile.max) - static_cast<double>(max);
    const double factor = std::exp(shift);
    sum += factor * tile.sum;
    weighted += factor * (tile.weighted + shift * tile.sum);
  }
  LogitSummary summary;
  summary.max = max;
  summary.log_sum = std::log(sum);
  summary.entropy = summary.log_sum - weighted / sum;
  summary.target_score = target_score;
  return summary;
}

void CheckLogits(const void* hidden, const PackedMatrix& w, const int32_t* targets, int64_t rows) {
  PONDER_CHECK(hidden != nullptr && w.data != nullptr && w.outputs > 0 && w.inputs > 0);
  if (targets == nullptr) return;
  for (int64_t row = 0; row < rows; ++row) {
    PONDER_CHECK(
        targets[row] >= 0 && targets[row] < w.outputs,
        fmt::format("target = {} in row {}, vocabulary = {}", targets[row], row, w.outputs));
  }
}

}  // namespace

void Summarise(const CpuContext& context, const LogitRows& args, LogitSummary* summaries) {
  const int64_t row_bytes = PaddedInputs(args.w.inputs) * SizeOf(args.w.dtype);
  const int64_t tiles = VocabularyTiles(args.w.outputs);
  std::vector<TileStats> own(args.tiles == nullptr ? std::min(args.rows, kSummaryRows) * tiles : 0);
  std::vector<float> target_scores(std::min(args.rows, kSummaryRows));
  for (int64_t first = 0; first < args.rows; first += kSummaryRows) {
    const int64_t rows = std::min(kSummaryRows, args.rows - first);
    const int64_t row_blocks = DivideUp(rows, kLogitRows);
    TileStats* stats = args.tiles == nullptr ? own.data() : args.tiles + first * tiles;
    context.pool.ParallelFor(row_blocks * tiles, [&](int64_t item) {
      const int64_t begin = item % row_blocks * kLogitRows;
      const int64_t count = std::min(kLogitRows, rows - begin);
      const int64_t tile = item / row_blocks;
      const int64_t output = tile * kVocabularyTile;
      const int64_t width = std::min(kVocabularyTile, args.w.outputs - output);
      float* logits = ThreadScratch(kLogitRows * kVocabularyTile);
      MatMulTile(context, {.x = static_cast<const char*>(args.hidden) + (first + begin) * row_bytes,
                           .x_stride = PaddedInputs(args.w.inputs),
                           .w = args.w,
                           .output = output,
                           .count = width,
                           .y = logits,
                           .y_stride = kVocabularyTile,
                           .rows = count});
      for (int64_t i = 0; i < count; ++i) {
        const int64_t row = begin + i;
        const float scale = args.inverse_temperatures[first + row];
        stats[row * tiles + tile] =
            context.primitives.tile_stats(logits + i * kVocabularyTile, scale, width);
        if (args.targets == nullptr) continue;
        const int64_t target = args.targets[first + row] - output;
        if (target >= 0 && target < width)
          target_scores[row] = logits[i * kVocabularyTile + target] * scale;
      }
    });
    constexpr int64_t kMergedRows = 16;
    ParallelRuns(context.pool, rows, kMergedRows, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        summaries[first + row] = Merge(stats + row * tiles, tiles, target_scores[row]);
      }
    });
  }
}

void LogProb(const CpuContext& context, const LogProbArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  CheckLogits(args.hidden, args.w, args.targets, args.rows);
  PONDER_CHECK(args.targets != nullptr && args.inverse_temperatures != nullptr &&
               args.logprobs != nullptr);
  std::vector<LogitSummary> summaries(args.rows);
  Summarise(context,
            {.hidden = args.hidden,
             .w = args.w,
             .inverse_temperatures = args.inverse_temperatures,
             .targets = args.targets,
             .rows = args.rows},
            summaries.data());
  for (int64_t row = 0; row < args.rows; ++row) {
    const LogitSummary& summary = summaries[row];
    args.logprobs[row] = summary.LogProb(summary.target_score);
    if (args.entropies != nullptr) args.entropies[row] = static_cast<float>(summary.entropy);
    if (args.logsumexps != nullptr) args.logsumexps[row] = static_cast<float>(summary.LogSumExp());
  }
}

void LogProbBackward(const CpuContext& context, const LogProbBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  CheckLogits(args.hidden, args.w, args.targets, args.rows);
  PONDER_CHECK(args.targets != nullptr && args.inverse_temperatures != nullptr &&
               args.logsumexps != nullptr);
  PONDER_CHECK(args.d_logprobs != nullptr && args.d_hidden != nullptr && args.d_w != nullptr);
  const DType dtype = args.w.dtype;
  const int64_t width = args.w.inputs;
  const int64_t padded_width = PaddedInputs(width);
  std::vector<int64_t> active;
  for (int64_t row = 0; row < args.rows; ++row) {
    if (args.d_logprobs[row] != 0) active.push_back(row);
  }
  std::memset(args.d_hidden, 0, args.rows * width * sizeof(float));

  Workspace& workspace = context.workspace;
  workspace.Reset();
  const int64_t most = std::min<int64_t>(kGradientRows, static_cast<int64_t>(active.size()));
  const int64_t block_outputs = std::min(kGradientOutputs, PaddedInputs(args.w.outputs));
  char* hidden = static_cast<char*>(workspace.TakeBytes(most * padded_width * SizeOf(dtype)));
  void* hidden_packed = workspace.TakeBytes(PackedBytes(width, most, dtype));
  float* d_hidden = workspace.Take<float>(most * width);
  char* d_logits = static_cast<char*>(workspace.TakeBytes(most * block_outputs * SizeOf(dtype)));
  char* d_logits_columns =
      static_cast<char*>(workspace.TakeBytes(block_outputs * PaddedInputs(most) * SizeOf(dtype)));
  void* weights = workspace.TakeBytes(PackedBytes(width, block_outputs, dtype));

  for (size_t first = 0; first < active.size(); first += kGradientRows) {
    const int64_t* rows = active.data() + first;
    const int64_t count =
        std::min<int64_t>(kGradientRows, static_cast<int64_t>(active.size() - first));
    const int64_t padded_count = PaddedInputs(count);
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(hidden + i * padded_width * SizeOf(dtype),
                  static_cast<const char*>(args.hidden) + rows[i] * padded_width * SizeOf(dtype),
                  padded_width * SizeOf(dtype));
    }
    const PackedMatrix packed =
        PackRows(context, hidden, padded_width, count, width, dtype, hidden_packed);
    for (int64_t output = 0; output < args.w.outputs; output += kGradientOutputs) {
      const int64_t outputs = std::min(kGradientOutputs, args.w.outputs - output);
      const int64_t padded_outputs = PaddedInputs(outputs);
      const int64_t row_blocks = DivideUp(count, kLogitRows);
      const int64_t tiles = DivideUp(outputs, kVocabularyTile);
      context.pool.ParallelFor(row_blocks * tiles, [&](int64_t item) {
        const int64_t begin = item % row_blocks * kLogitRows;
        const int64_t tile_rows = std::min(kLogitRows, count - begin);
        const int64_t column = item / row_blocks * kVocabularyTile;
        const int64_t tile_width = std::min(kVocabularyTile, outputs - column);
        float* tile = ThreadScratch(kLogitRows * kVocabularyTile);
        MatMulTile(context, {.x = hidden + begin * padded_width * SizeOf(dtype),
                             .x_stride = padded_width,
                             .w = args.w,
                             .output = output + column,
                             .count = tile_width,
                             .y = tile,
                             .y_stride = kVocabularyTile,
                             .rows = tile_rows});
        for (int64_t i = 0; i < tile_rows; ++i) {
          const int64_t row = rows[begin + i];
          float* gradient = tile + i * kVocabularyTile;
          context.primitives.tile_gradient(gradient, args.inverse_temperatures[row],
                                           args.logsumexps[row], args.d_logprobs[row],
                                           args.targets[row] - output - column, tile_width);
          char* to = d_logits + ((begin + i) * padded_outputs + column) * SizeOf(dtype);
          context.primitives.round_to(gradient, to, dtype, tile_width);
          const int64_t end = std::min(column + kVocabularyTile, padded_outputs) - column;
          std::memset(to + tile_width * SizeOf(dtype), 0, (end - tile_width) * SizeOf(dtype));
        }
        for (int64_t i = 0; i < tile_rows; i += 32) {
          context.primitives.transpose_rows(
              tile + i * kVocabularyTile, kVocabularyTile, std::min<int64_t>(32, tile_rows - i),
              tile_width, dtype, (begin + i) / 32,
              d_logits_columns + column * padded_count * SizeOf(dtype), padded_count);
        }
      });
      MatMul(context, {.x = d_logits,
                       .x_stride = padded_outputs,
                       .w = TransposeWeights(context, args.w, output, outputs, weights),
                       .y = d_hidden,
                       .y_stride = width,
                       .store = output == 0 ? Store::kOverwrite : Store::kAdd,
                       .rows = count});
      MatMul(context, {.x = d_logits_columns,
                       .x_stride = padded_count,
                       .w = packed,
                       .y = args.d_w + output * width,
                       .y_stride = width,
                       .store = Store::kAdd,
                       .rows = outputs});
    }
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(args.d_hidden + rows[i] * width, d_hidden + i * width, width * sizeof(float));
    }
  }
}

}  // namespace ponder::kernels::cpu
