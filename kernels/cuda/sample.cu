#include "kernels/cuda/logits.cuh"
#include "kernels/cuda/operations.h"

namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = kSummaryThreads;
constexpr int64_t kSmallVocabulary = 4096;
constexpr int kRestrictRows = 16;  // rows whose scores are in memory at a time

// Where a row's token is, after the pass over the vocabulary.
struct Choice {
  LogitSummary summary;
  double within;  // cumulated weight in the tile, relative to its maximum, at which the token is
  int32_t tile;
};

__global__ void __launch_bounds__(kThreads)
    InverseTemperaturesKernel(const SampleRow* params, float* inverse_temperatures, int64_t rows) {
  const int64_t row = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (row >= rows) return;
  const float temperature = params[row].temperature;
  inverse_temperatures[row] = temperature == 0 ? 1.0f : 1.0f / temperature;
}

__device__ inline bool IsRestricted(const SampleRow& row, int64_t vocabulary) {
  return row.temperature != 0 && (row.top_p < 1 || (row.top_k > 0 && row.top_k < vocabulary));
}

// The place at which weights in the order of their index, cumulated, exceed `wanted`: each thread
// sums a run of them by itself. Returns the run's thread to all threads and leaves in `before` what
// is before it; a run without weight is never chosen. sums: [kThreads] of shared memory.
template <int kBlock>
__device__ int FindRun(double mine, double uniform, double* sums, double* before) {
  __shared__ int run;
  __shared__ double place;
  sums[threadIdx.x] = mine;
  __syncthreads();
  if (threadIdx.x == 0) {
    double total = 0;
    for (int i = 0; i < kBlock; ++i) total += sums[i];
    const double wanted = uniform * total;
    double sum = 0;
    run = 0;
    place = wanted;
    for (int i = 0; i < kBlock; ++i) {
      if (!(sums[i] > 0)) continue;
      // Rounding may lead beyond the end: then it is the last run that weighs anything.
      run = i;
      place = wanted - sum;
      if (sum + sums[i] > wanted) break;
      sum += sums[i];
    }
  }
  __syncthreads();
  *before = place;
  return run;
}

// A block a row: merges the tiles and decides in which one the token lies.
__global__ void __launch_bounds__(kThreads)
    ChooseKernel(const SampleRow* params, const TileStats* tiles, int64_t tile_count,
                 Choice* choices) {
  __shared__ double sums[kThreads];
  const int64_t row = blockIdx.x;
  const TileStats* const stats = tiles + row * tile_count;
  Choice choice = {MergeTiles(stats, tile_count), 0, 0};
  const auto mass = [&](int64_t tile) {
    return exp(static_cast<double>(stats[tile].max) - choice.summary.max) *
           static_cast<double>(stats[tile].sum);
  };
  const int64_t run_tiles = (tile_count + kThreads - 1) / kThreads;
  const int64_t begin = threadIdx.x * run_tiles;
  const int64_t end = begin + run_tiles < tile_count ? begin + run_tiles : tile_count;
  if (params[row].temperature == 0) {
    if (threadIdx.x != 0) return;
    for (int64_t tile = 1; tile < tile_count; ++tile) {
      if (stats[tile].max > stats[choice.tile].max) choice.tile = static_cast<int32_t>(tile);
    }
    choices[row] = choice;
    return;
  }
  double mine = 0;
  for (int64_t tile = begin; tile < end; ++tile) mine += mass(tile);
  double rest = 0;
  const int run = FindRun<kThreads>(mine, params[row].uniform, sums, &rest);
  if (threadIdx.x != static_cast<unsigned>(run)) return;
  double place = rest;
  for (int64_t tile = begin; tile < end; ++tile) {
    const double here = mass(tile);
    if (here > 0) {
      choice.tile = static_cast<int32_t>(tile);
      place = rest;
      if (here > rest) break;
    }
    rest -= here;
  }
  choice.within = place / exp(static_cast<double>(stats[choice.tile].max) - choice.summary.max);
  choices[row] = choice;
}

// A block a row: makes the chosen tile's scores once more, with the same bits, and picks.
template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads)
    PickKernel(Operand<typename Tile::T> hidden, Operand<typename Tile::T> w, int64_t inputs,
               const float* inverse_temperatures, const TileStats* tiles, const Choice* choices,
               SampleArgs args) {
  __shared__ float scores[kVocabularyTile];
  const int64_t row = blockIdx.x;
  const SampleRow params = args.params[row];
  const Choice choice = choices[row];
  const int64_t begin = choice.tile * int64_t{kVocabularyTile};
  Tile tile;
  MultiplyTile(tile, {hidden.data + row * hidden.width, 1, hidden.width}, w, 0, begin, inputs,
               SharedMemory());
  const float scale = inverse_temperatures[row];
  VisitTile(tile, [&](int m, int column, const float* first, const float* second) {
    if (m != 0) return;
    for (int i = 0; i < 2; ++i) {
      scores[column + i] = first[i] * scale;
      scores[column + 8 + i] = second[i] * scale;
    }
  });
  __syncthreads();
  if (threadIdx.x != 0) return;
  args.entropies[row] = choice.summary.Entropy();
  if (IsRestricted(params, w.lines)) return;  // RestrictKernel's
  const int64_t tile_count = (w.lines + kVocabularyTile - 1) / kVocabularyTile;
  const float max = tiles[row * tile_count + choice.tile].max;
  const int count =
      static_cast<int>(w.lines - begin < kVocabularyTile ? w.lines - begin : kVocabularyTile);
  int token = 0;
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    if (params.temperature == 0) {
      if (scores[i] > scores[token]) token = i;
      continue;
    }
    const float weight = expf(scores[i] - max);
    if (!(weight > 0)) continue;
    token = i;
    sum += static_cast<double>(weight);
    if (sum > choice.within) break;
  }
  args.tokens[row] = static_cast<int32_t>(begin + token);
  args.logprobs[row] = choice.summary.LogProb(scores[token]);
}

// ---- top-k and top-p ----

// rows[0]: how many rows are restricted; their numbers follow.
__global__ void __launch_bounds__(kWarp)
    ListRestrictedKernel(const SampleRow* params, int64_t count, int64_t vocabulary,
                         int32_t* rows) {
  if (threadIdx.x != 0) return;
  int32_t found = 0;
  for (int64_t row = 0; row < count; ++row) {
    if (IsRestricted(params[row], vocabulary)) rows[++found] = static_cast<int32_t>(row);
  }
  rows[0] = found;
}

// scores [kRestrictRows, V] of the restricted rows first, first + 1, ...
template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads)
    ScoresKernel(Operand<typename Tile::T> hidden, Operand<typename Tile::T> w, int64_t inputs,
                 const float* inverse_temperatures, const int32_t* rows, int first, float* scores) {
  const int index = first + static_cast<int>(blockIdx.y);
  if (index >= rows[0]) return;
  const int64_t row = rows[1 + index];
  const int64_t begin = blockIdx.x * int64_t{kVocabularyTile};
  Tile tile;
  MultiplyTile(tile, {hidden.data + row * hidden.width, 1, hidden.width}, w, 0, begin, inputs,
               SharedMemory());
  const float scale = inverse_temperatures[row];
  float* const to = scores + blockIdx.y * w.lines;
  VisitTile(tile, [&](int m, int column, const float* first_two, const float* second_two) {
    if (m != 0) return;
    for (int i = 0; i < 2; ++i) {
      if (begin + column + i < w.lines) to[begin + column + i] = first_two[i] * scale;
      if (begin + column + 8 + i < w.lines) to[begin + column + 8 + i] = second_two[i] * scale;
    }
  });
}

__device__ inline unsigned BitsOf(float value) {
#ifdef PONDER_CUDA_EMULATION
  return std::bit_cast<unsigned>(value);
#else
  return __float_as_uint(value);
#endif
}
__device__ inline float FloatOf(unsigned bits) {
#ifdef PONDER_CUDA_EMULATION
  return std::bit_cast<float>(bits);
#else
  return __uint_as_float(bits);
#endif
}

// The tokens that may be drawn: those of a larger weight, and among those of this weight the ids up
// to the last one. Weights are not negative, so their bits have their order.
struct Allowed {
  unsigned least;
  int64_t last_id;
  __device__ bool operator()(unsigned weight, int64_t id) const {
    return weight > least || (weight == least && id <= last_id);
  }
};

// A block a restricted row: top-k first, then top-p of what is left, then the token.
template <int kRestrictThreads>
__global__ void __launch_bounds__(kRestrictThreads)
    RestrictKernel(const float* all_scores, int64_t vocabulary, const int32_t* rows, int first,
                   const Choice* choices, SampleArgs args) {
  __shared__ double sums[kRestrictThreads];
  const int index = first + static_cast<int>(blockIdx.x);
  if (index >= rows[0]) return;
  const int64_t row = rows[1 + index];
  const SampleRow params = args.params[row];
  const LogitSummary summary = choices[row].summary;
  const float* const scores = all_scores + blockIdx.x * vocabulary;
  const float max = static_cast<float>(summary.max);
  const auto weight = [&](int64_t id) { return expf(scores[id] - max); };
  // Sums of value(weight, id) over the vocabulary, in one order.
  const auto sum_of = [&](auto value) {
    double sum = 0;
    for (int64_t id = threadIdx.x; id < vocabulary; id += kRestrictThreads) {
      sum += value(weight(id), id);
    }
    return BlockSum<kRestrictThreads>(sum);
  };
  // The largest number for which `holds`, which holds for 0 and from some number on no more.
  const auto largest = [](int bits, auto holds) {
    unsigned found = 0;
    for (int bit = bits - 1; bit >= 0; --bit) {
      if (holds(found | 1u << bit)) found |= 1u << bit;
    }
    return found;
  };
  // The id at which the n-th of those with exactly this weight stands, of those allowed.
  const auto id_of_tie = [&](unsigned bits, double n, const Allowed& allowed) {
    const auto ties_before = [&](int64_t end) {
      return sum_of([&](float w, int64_t id) {
        return BitsOf(w) == bits && id < end && allowed(bits, id) ? 1.0 : 0.0;
      });
    };
    return static_cast<int64_t>(largest(31, [&](unsigned end) { return ties_before(end) < n; }));
  };

  Allowed allowed = {0, vocabulary};
  if (params.top_k > 0 && params.top_k < vocabulary) {
    const double k = static_cast<double>(params.top_k);
    const auto at_least = [&](unsigned bits) {
      return sum_of([&](float w, int64_t) { return BitsOf(w) >= bits ? 1.0 : 0.0; });
    };
    const unsigned least = largest(31, [&](unsigned bits) { return at_least(bits) >= k; });
    const double ties = k - at_least(least + 1);
    allowed = {least, id_of_tie(least, ties, allowed)};
  }
  if (params.top_p < 1) {
    const auto mass = [&](unsigned bits) {
      return sum_of([&](float w, int64_t id) {
        return BitsOf(w) >= bits && allowed(BitsOf(w), id) ? static_cast<double>(w) : 0.0;
      });
    };
    const double wanted = static_cast<double>(params.top_p) * mass(0);
    const unsigned least = largest(31, [&](unsigned bits) { return mass(bits) >= wanted; });
    const double one = static_cast<double>(FloatOf(least));
    const double missing = wanted - mass(least + 1);
    const double ties = one > 0 && missing > one ? ceil(missing / one) : 1.0;
    const int64_t last = id_of_tie(least, ties, allowed);
    allowed = {least, last};
  }

  const int64_t run_ids = (vocabulary + kRestrictThreads - 1) / kRestrictThreads;
  const int64_t begin = threadIdx.x * run_ids;
  const int64_t end = begin + run_ids < vocabulary ? begin + run_ids : vocabulary;
  const auto kept = [&](int64_t id) {
    const float w = weight(id);
    return allowed(BitsOf(w), id) ? static_cast<double>(w) : 0.0;
  };
  double mine = 0;
  for (int64_t id = begin; id < end; ++id) mine += kept(id);
  double rest = 0;
  const int run = FindRun<kRestrictThreads>(mine, params.uniform, sums, &rest);
  if (threadIdx.x != static_cast<unsigned>(run)) return;
  int64_t token = 0;
  double sum = 0;
  for (int64_t id = begin; id < end; ++id) {
    const double here = kept(id);
    if (!(here > 0)) continue;
    token = id;
    sum += here;
    if (sum > rest) break;
  }
  args.tokens[row] = static_cast<int32_t>(token);
  args.logprobs[row] = summary.LogProb(scores[token]);
}

}  // namespace

void Sample(const CudaContext& context, const SampleArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.hidden != nullptr && args.w.data != nullptr && args.w.outputs > 0 &&
               args.w.inputs > 0);
  PONDER_CHECK(args.params != nullptr && args.tokens != nullptr && args.logprobs != nullptr &&
               args.entropies != nullptr);
  context.workspace.Reset();
  const int64_t vocabulary = args.w.outputs, tiles = VocabularyTiles(vocabulary);
  auto* const inverse_temperatures = context.workspace.Take<float>(args.rows);
  auto* const stats = context.workspace.Take<TileStats>(args.rows * tiles);
  auto* const choices = context.workspace.Take<Choice>(args.rows);
  Launch({.blocks = CeilDivide(args.rows, kThreads), .threads = kThreads}, context.stream,
         InverseTemperaturesKernel, args.params, inverse_temperatures, args.rows);
  LaunchTileStats(context, {.hidden = args.hidden,
                            .w = args.w,
                            .inverse_temperatures = inverse_temperatures,
                            .tiles = stats,
                            .rows = args.rows});
  Launch({.blocks = args.rows, .threads = kThreads}, context.stream, ChooseKernel, args.params,
         stats, tiles, choices);
  ForType(args.w.dtype, [&]<typename T>() {
    using Tile = FewRowsTile<T>;
    const Operand<T> hidden = ActOperand<T>(args.hidden, args.rows, args.w.inputs);
    const Operand<T> w = WeightOperand<T>(args.w);
    const int64_t inputs = PaddedInputs(args.w.inputs);
    Launch({.blocks = args.rows, .threads = Tile::kThreads, .shared_bytes = Tile::kSharedBytes},
           context.stream, PickKernel<Tile>, hidden, w, inputs, inverse_temperatures, stats,
           choices, args);
    if (!args.may_restrict) return;
    auto* const rows = context.workspace.Take<int32_t>(args.rows + 1);
    auto* const scores = context.workspace.Take<float>(kRestrictRows * vocabulary);
    Launch({.blocks = 1, .threads = kWarp}, context.stream, ListRestrictedKernel, args.params,
           args.rows, vocabulary, rows);
    for (int64_t first = 0; first < args.rows; first += kRestrictRows) {
      Launch({.blocks = tiles,
              .blocks_y = kRestrictRows,
              .threads = Tile::kThreads,
              .shared_bytes = Tile::kSharedBytes},
             context.stream, ScoresKernel<Tile>, hidden, w, inputs, inverse_temperatures, rows,
             static_cast<int>(first), scores);
      const auto restrict_to = [&]<int kThreadsOfRow>() {
        Launch({.blocks = kRestrictRows, .threads = kThreadsOfRow}, context.stream,
               RestrictKernel<kThreadsOfRow>, scores, vocabulary, rows, static_cast<int>(first),
               choices, args);
      };
      if (vocabulary <= kSmallVocabulary) {
        restrict_to.template operator()<128>();
      } else {
        restrict_to.template operator()<1024>();
      }
    }
  });
}

}  // namespace ponder::kernels::cuda
