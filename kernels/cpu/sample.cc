#include "kernels/cpu/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/logits.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int64_t kLogitBytes = int64_t{64} << 20;  // of logits kept at once

// A token with its weight exp(score - max).
struct Candidate {
  float weight = 0;
  int32_t id = 0;
};

// The most likely first, the lowest id among equals.
bool Before(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

int32_t Greedy(const float* logits, int64_t n) {
  return static_cast<int32_t>(std::max_element(logits, logits + n) - logits);
}

// The first token in order of id at which the cumulated weight exceeds uniform * total.
int32_t PickInOrder(const std::vector<Candidate>& kept, double uniform) {
  if (kept.empty()) return 0;  // logits that are not numbers: the log-prob shows it
  double total = 0;
  for (const Candidate& candidate : kept) total += candidate.weight;
  double sum = 0;
  int32_t last = kept.front().id;
  for (const Candidate& candidate : kept) {
    if (candidate.weight == 0) continue;
    last = candidate.id;
    sum += candidate.weight;
    if (sum > uniform * total) break;
  }
  return last;  // rounding may leave sum just below: the last possible token
}

// The same over all tokens: the sums of the tiles say in which one to look.
int32_t PickOfAll(const CpuContext& context, const float* logits, float scale,
                  const TileStats* tiles, const LogitSummary& summary, int64_t n, double uniform) {
  const int64_t tile_count = VocabularyTiles(n);
  const auto mass = [&](int64_t tile) {
    return std::exp(static_cast<double>(tiles[tile].max) - summary.max) * tiles[tile].sum;
  };
  double total = 0;
  for (int64_t tile = 0; tile < tile_count; ++tile) total += mass(tile);
  double rest = uniform * total;
  int64_t tile = 0;
  int64_t last = 0;  // the last tile that weighs anything: rounding may lead behind it
  for (; tile < tile_count; ++tile) {
    const double here = mass(tile);
    if (here > 0) last = tile;
    if (here > rest) break;
    rest -= here;
  }
  const bool beyond = tile == tile_count;
  tile = beyond ? last : tile;
  const int64_t begin = tile * kVocabularyTile;
  const int64_t count = std::min(kVocabularyTile, n - begin);
  float weights[kVocabularyTile];
  context.primitives.exp_scaled(logits + begin, scale, tiles[tile].max, count, weights);
  const double wanted =
      beyond ? INFINITY : rest / std::exp(static_cast<double>(tiles[tile].max) - summary.max);
  double sum = 0;
  int64_t token = begin;
  for (int64_t i = 0; i < count; ++i) {
    if (!(weights[i] > 0)) continue;
    token = begin + i;
    sum += weights[i];
    if (sum > wanted) break;
  }
  return static_cast<int32_t>(token);
}

// Keeps the smallest set of the most likely tokens that holds top_p of `total`. Halves the range in
// which the set ends until it is short enough to sort: time is linear in the number of tokens.
void KeepTopP(float top_p, double total, std::vector<Candidate>& kept) {
  constexpr int64_t kShort = 64;
  const double wanted = static_cast<double>(top_p) * total;
  double sum = 0;  // of all before `begin`
  auto begin = kept.begin();
  auto end = kept.end();
  while (end - begin > kShort) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, Before);
    double half = sum;
    for (auto it = begin; it != middle; ++it) half += it->weight;
    if (half >= wanted) {
      end = middle;
    } else {
      sum = half;
      begin = middle;
    }
  }
  std::sort(begin, end, Before);
  auto last = begin;
  while (last != end && (last == kept.begin() || sum < wanted)) sum += (last++)->weight;
  kept.erase(last, kept.end());
}

// Top-k first, then top-p of what is left; in order of id.
std::vector<Candidate> Restrict(const float* weights, int64_t n, const SampleRow& row) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += weights[i];
  const bool top_k = row.top_k > 0 && row.top_k < n;
  // Tokens below this weight hold less than (1 - top_p) / 2 of the total together, so that top-p
  // alone never needs them; leaving them out keeps the sort short.
  const double least = top_k ? 0 : 0.5 * (1.0 - row.top_p) * total / static_cast<double>(n);
  std::vector<Candidate> kept;
  for (int64_t i = 0; i < n; ++i) {
    if (weights[i] >= least) kept.push_back({weights[i], static_cast<int32_t>(i)});
  }
  if (top_k && row.top_k < static_cast<int64_t>(kept.size())) {
    std::nth_element(kept.begin(), kept.begin() + (row.top_k - 1), kept.end(), Before);
    kept.resize(row.top_k);
    total = 0;
    for (const Candidate& candidate : kept) total += candidate.weight;
  }
  if (row.top_p < 1) KeepTopP(row.top_p, total, kept);
  std::sort(kept.begin(), kept.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return kept;
}

}  // namespace

void Sample(const CpuContext& context, const SampleArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.hidden != nullptr && args.w.data != nullptr && args.w.outputs > 0 &&
               args.w.inputs > 0);
  PONDER_CHECK(args.params != nullptr && args.tokens != nullptr && args.logprobs != nullptr &&
               args.entropies != nullptr);
  const int64_t vocabulary = args.w.outputs;
  std::vector<float> scales(args.rows);
  for (int64_t row = 0; row < args.rows; ++row) {
    const SampleRow& params = args.params[row];
    PONDER_CHECK(
        params.temperature >= 0 && params.top_p > 0 && params.top_p <= 1 && params.top_k >= 0,
        fmt::format("row {}: temperature = {}, top_p = {}, top_k = {}", row, params.temperature,
                    params.top_p, params.top_k));
    PONDER_CHECK(params.uniform >= 0 && params.uniform < 1,
                 fmt::format("row {}: uniform = {}", row, params.uniform));
    scales[row] = params.temperature == 0 ? 1.0f : 1.0f / params.temperature;
  }
  const int64_t row_bytes = PaddedInputs(args.w.inputs) * SizeOf(args.w.dtype);
  const int64_t chunk = std::clamp<int64_t>(
      kLogitBytes / (vocabulary * static_cast<int64_t>(sizeof(float))), 1, args.rows);
  context.workspace.Reset();
  float* logits = context.workspace.Take<float>(chunk * vocabulary);
  const int64_t tiles = VocabularyTiles(vocabulary);
  TileStats* stats = context.workspace.Take<TileStats>(chunk * tiles);
  std::vector<LogitSummary> summaries(chunk);
  for (int64_t first = 0; first < args.rows; first += chunk) {
    const int64_t rows = std::min(chunk, args.rows - first);
    Summarise(context,
              {.hidden = static_cast<const char*>(args.hidden) + first * row_bytes,
               .w = args.w,
               .inverse_temperatures = scales.data() + first,
               .logits = logits,
               .tiles = stats,
               .rows = rows},
              summaries.data());
    context.pool.ParallelFor(rows, [&](int64_t i) {
      const SampleRow& params = args.params[first + i];
      const float* row_logits = logits + i * vocabulary;
      const float scale = scales[first + i];
      int32_t token = 0;
      if (params.temperature == 0) {
        token = Greedy(row_logits, vocabulary);
      } else {
        const bool restricted = params.top_p < 1 || (params.top_k > 0 && params.top_k < vocabulary);
        if (restricted) {
          float* weights = ThreadScratch(vocabulary);
          context.primitives.exp_scaled(row_logits, scale, static_cast<float>(summaries[i].max),
                                        vocabulary, weights);
          token = PickInOrder(Restrict(weights, vocabulary, params), params.uniform);
        } else {
          token = PickOfAll(context, row_logits, scale, stats + i * tiles, summaries[i], vocabulary,
                            params.uniform);
        }
      }
      args.tokens[first + i] = token;
      args.logprobs[first + i] = summaries[i].LogProb(row_logits[token] * scale);
      args.entropies[first + i] = static_cast<float>(summaries[i].entropy);
    });
  }
}

}  // namespace ponder::kernels::cpu
