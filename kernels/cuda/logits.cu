#include <algorithm>
#include <vector>

#include "kernels/cuda/logits.cuh"
#include "kernels/cuda/operations.h"

namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// ---- forward ----

// parts [kWarpsN][kTileM] in shared memory: a row's value in each warp's columns.
template <typename Tile, typename Merge>
__device__ float AcrossWarps(float* parts, int row, float mine, Merge merge) {
  const int warp = threadIdx.x / kWarp;
  if (threadIdx.x % 4 == 0) parts[warp / Tile::kWarpsM * Tile::kTileM + row] = mine;
  __syncthreads();
  float all = parts[row];
  for (int i = 1; i < Tile::kWarpsN; ++i) all = merge(all, parts[i * Tile::kTileM + row]);
  __syncthreads();
  return all;
}

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads)
    TileStatsKernel(Operand<typename Tile::T> hidden, Operand<typename Tile::T> w, int64_t inputs,
                    int64_t tiles_m, LogitRows args) {
  PONDER_SHARED(float, parts, Tile::kWarpsN* Tile::kTileM);
  const int64_t m0 = blockIdx.x % tiles_m * Tile::kTileM;
  const int64_t vocabulary_tile = blockIdx.x / tiles_m;
  const int64_t n0 = vocabulary_tile * kVocabularyTile;
  Tile tile;
  MultiplyTile(tile, hidden, w, m0, n0, inputs, SharedMemory());
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int column = warp / Tile::kWarpsM * Tile::kWarpN + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < 2 * Tile::kPartsM; ++i) {
    const int row = warp % Tile::kWarpsM * Tile::kWarpM + lane / 4 + 8 * i;
    const bool is_row = m0 + row < args.rows;
    const float scale = is_row ? args.inverse_temperatures[m0 + row] : 0.0f;
    const int64_t target = is_row && args.targets != nullptr ? args.targets[m0 + row] : -1;
    float score[4 * Tile::kPartsN];
    float max = kMinusInfinity;
#pragma unroll
    for (int j = 0; j < 4 * Tile::kPartsN; ++j) {
      const int64_t n = n0 + column + j / 4 * 16 + j / 2 % 2 * 8 + j % 2;
      const float value = tile.acc[i / 2][j / 4][j / 2 % 2][i % 2 * 2 + j % 2] * scale;
      score[j] = n < w.lines ? value : kMinusInfinity;
      if (n == target && n < w.lines) args.target_scores[m0 + row] = value;
      max = fmaxf(max, score[j]);
    }
    max = AcrossWarps<Tile>(parts, row, QuadMax(max), [](float a, float b) { return fmaxf(a, b); });
    float sum = 0, weighted = 0;
#pragma unroll
    for (int j = 0; j < 4 * Tile::kPartsN; ++j) {
      const float below = score[j] - max, weight = expf(below);
      // What is not a number must be seen; what has no weight must not become it.
      sum += below > kMinusInfinity || below != below ? weight : 0.0f;
      weighted += weight > 0 ? weight * below : 0.0f;
    }
    const auto add = [](float a, float b) { return a + b; };
    sum = AcrossWarps<Tile>(parts, row, QuadSum(sum), add);
    weighted = AcrossWarps<Tile>(parts, row, QuadSum(weighted), add);
    if (is_row && lane % 4 == 0 && warp / Tile::kWarpsM == 0) {
      const int64_t tiles = (w.lines + kVocabularyTile - 1) / kVocabularyTile;
      args.tiles[(m0 + row) * tiles + vocabulary_tile] = {max, sum, weighted};
    }
  }
}

template <typename Tile>
void LaunchTileStatsOf(const CudaContext& context, const LogitRows& args) {
  using T = typename Tile::T;
  const int64_t tiles_m = CeilDivide(args.rows, Tile::kTileM);
  Launch({.blocks = tiles_m * VocabularyTiles(args.w.outputs),
          .threads = Tile::kThreads,
          .shared_bytes = Tile::kSharedBytes},
         context.stream, TileStatsKernel<Tile>,
         ActOperand<T>(args.hidden, args.rows, args.w.inputs), WeightOperand<T>(args.w),
         PaddedInputs(args.w.inputs), tiles_m, args);
}

__global__ void __launch_bounds__(kSummaryThreads)
    FinishLogProbKernel(const TileStats* tiles, int64_t tile_count, const float* target_scores,
                        LogProbArgs args) {
  const int64_t row = blockIdx.x;
  const LogitSummary summary = MergeTiles(tiles + row * tile_count, tile_count);
  if (threadIdx.x != 0) return;
  args.logprobs[row] = summary.LogProb(target_scores[row]);
  if (args.entropies != nullptr) args.entropies[row] = summary.Entropy();
  if (args.logsumexps != nullptr)
    args.logsumexps[row] = static_cast<float>(summary.max + summary.log_sum);
}

__global__ void __launch_bounds__(kThreads) FillKernel(float* to, int64_t count, float value) {
  const int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (i < count) to[i] = value;
}

// ---- backward ----

// rows: the numbers of those with a gradient, in order; count: how many.
__global__ void __launch_bounds__(kThreads)
    FindRowsKernel(const float* d_logprobs, int64_t count, int32_t* rows, int32_t* found) {
  constexpr int kWarps = kThreads / kWarp;
  PONDER_SHARED(unsigned, bits, kWarps);
  int at = 0;
  for (int64_t begin = 0; begin < count; begin += kThreads) {
    const int64_t row = begin + threadIdx.x;
    const unsigned mine = __ballot_sync(kAllLanes, row < count && d_logprobs[row] != 0 ? 1 : 0);
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    if (lane == 0) bits[warp] = mine;
    __syncthreads();
    int before = at;
    for (int i = 0; i < warp; ++i) before += __popc(bits[i]);
    if ((mine >> lane & 1u) != 0)
      rows[before + __popc(mine & ((1u << lane) - 1))] = static_cast<int32_t>(row);
    for (int i = 0; i < kWarps; ++i) at += __popc(bits[i]);
    __syncthreads();
  }
  if (threadIdx.x == 0) *found = at;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    GatherRowsKernel(const T* from, const int32_t* rows, T* to, int64_t width) {
  const T* const row = from + rows[blockIdx.x] * width;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) to[blockIdx.x * width + i] = row[i];
}

// d logit = d_logprob * inverse temperature * ((v is the target) - p(v)).
template <typename T>
struct FinishLogitGradients {
  T* out;         // [rows of the chunk, padded V]
  int64_t width;  // padded V
  const int32_t* rows;
  LogProbBackwardArgs args;
  SameLine lines;

  __device__ void Put(int64_t i, int64_t row, int64_t column, float logit) const {
    if (column >= width) return;
    const float scale = args.inverse_temperatures[row];
    const float p = expf(logit * scale - args.logsumexps[row]);
    const float is_target = column == args.targets[row] ? 1.0f : 0.0f;
    out[i * width + column] =
        Narrow<T>(column < args.w.outputs ? args.d_logprobs[row] * scale * (is_target - p) : 0.0f);
  }
  __device__ void operator()(int64_t i, int64_t column, const float* first,
                             const float* second) const {
    const int64_t row = rows[i];
    Put(i, row, column, first[0]);
    Put(i, row, column + 1, first[1]);
    Put(i, row, column + 8, second[0]);
    Put(i, row, column + 9, second[1]);
  }
};

// rows: where each row of `from` belongs.
__global__ void __launch_bounds__(kThreads)
    ScatterRowsKernel(const float* from, const int32_t* rows, float* to, int64_t width) {
  float* const row = to + rows[blockIdx.x] * width;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) row[i] = from[blockIdx.x * width + i];
}

}  // namespace

void LaunchTileStats(const CudaContext& context, const LogitRows& args) {
  ForType(args.w.dtype, [&]<typename T>() {
    if (args.rows <= FewRowsTile<T>::kTileM) {
      LaunchTileStatsOf<FewRowsTile<T>>(context, args);
    } else {
      LaunchTileStatsOf<ManyRowsTile<T>>(context, args);
    }
  });
}

void LogProb(const CudaContext& context, const LogProbArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.hidden != nullptr && args.w.data != nullptr && args.w.outputs > 0 &&
               args.w.inputs > 0);
  PONDER_CHECK(args.targets != nullptr && args.inverse_temperatures != nullptr &&
               args.logprobs != nullptr);
  context.workspace.Reset();
  const int64_t tiles = VocabularyTiles(args.w.outputs);
  auto* const stats = context.workspace.Take<TileStats>(args.rows * tiles);
  auto* const target_scores = context.workspace.Take<float>(args.rows);
  Launch({.blocks = CeilDivide(args.rows, kThreads), .threads = kThreads}, context.stream,
         FillKernel, target_scores, args.rows, kMinusInfinity);
  LaunchTileStats(context, {.hidden = args.hidden,
                            .w = args.w,
                            .inverse_temperatures = args.inverse_temperatures,
                            .targets = args.targets,
                            .target_scores = target_scores,
                            .tiles = stats,
                            .rows = args.rows});
  Launch({.blocks = args.rows, .threads = kSummaryThreads}, context.stream, FinishLogProbKernel,
         stats, tiles, target_scores, args);
}

void LogProbBackward(const CudaContext& context, const LogProbBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.hidden != nullptr && args.w.data != nullptr && args.w.outputs > 0 &&
               args.w.inputs > 0);
  PONDER_CHECK(args.targets != nullptr && args.inverse_temperatures != nullptr &&
               args.logsumexps != nullptr && args.d_logprobs != nullptr);
  PONDER_CHECK(args.d_hidden != nullptr && args.d_w != nullptr);
  const int64_t vocabulary = args.w.outputs, width = args.w.inputs;
  CheckCuda(
      cudaMemsetAsync(args.d_hidden, 0, static_cast<size_t>(args.rows * width) * 4, context.stream),
      "memset");
  context.workspace.Reset();
  auto* const rows = context.workspace.Take<int32_t>(args.rows);
  auto* const found = context.workspace.Take<int32_t>(1);
  Launch({.blocks = 1, .threads = kThreads}, context.stream, FindRowsKernel, args.d_logprobs,
         args.rows, rows, found);
  // Rows without a gradient cost nothing: the host must know how many are left.
  int32_t count = 0;
  CheckCuda(cudaMemcpyAsync(&count, found, sizeof(count), cudaMemcpyDeviceToHost, context.stream),
            "copy");
  CheckCuda(cudaStreamSynchronize(context.stream), "rows with a gradient");
  if (count == 0) return;
  ForType(args.w.dtype, [&]<typename T>() {
    constexpr int64_t kChunkBytes = 256 << 20;  // of gradients of logits at a time
    const int64_t padded = PaddedInputs(vocabulary), padded_width = PaddedInputs(width);
    const int64_t chunk =
        std::clamp<int64_t>(kChunkBytes / (padded * static_cast<int64_t>(sizeof(T))), 64, 4096);
    T* const d_logits = context.workspace.Take<T>(std::min<int64_t>(chunk, count) * padded);
    T* const hidden = context.workspace.Take<T>(std::min<int64_t>(chunk, count) * padded_width);
    auto* const d_hidden = context.workspace.Take<float>(std::min<int64_t>(chunk, count) * width);
    for (int64_t begin = 0; begin < count; begin += chunk) {
      const int64_t some = std::min<int64_t>(chunk, count - begin);
      Launch({.blocks = some, .threads = kThreads}, context.stream, GatherRowsKernel<T>,
             static_cast<const T*>(args.hidden), rows + begin, hidden, padded_width);
      const Operand<T> x = {hidden, some, padded_width};
      const Operand<T> gradient = {d_logits, some, padded};
      MatMul<T, Major::kK, Major::kK>(
          context, x, WeightOperand<T>(args.w), some, padded, padded_width,
          FinishLogitGradients<T>{d_logits, padded, rows + begin, args, {}});
      MatMulInAnyOrder<T, Major::kK, Major::kOther>(context, gradient, WeightOperand<T>(args.w),
                                                    some, vocabulary, some,
                                                    StoreIn(d_hidden, width));
      Launch({.blocks = some, .threads = kThreads}, context.stream, ScatterRowsKernel, d_hidden,
             rows + begin, args.d_hidden, width);
      MatMulInAnyOrder<T, Major::kOther, Major::kOther>(
          context, gradient, x, vocabulary, some, some, StoreIn(args.d_w, width, Store::kAdd));
    }
  });
}

}  // namespace ponder::kernels::cuda
