#include "kernels/cpu/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/logits.h"
#include "kernels/cpu/matmul.h"

namespace ponder::kernels::cpu {
namespace {

// A token with its score and its weight exp(score - max).
struct Candidate {
  float weight = 0;
  int32_t id = 0;
  float score = 0;
};

// The most likely first, the lowest id among equals.
bool Before(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

// The first candidate in order of id at which the cumulated weight exceeds uniform * total.
Candidate PickInOrder(const std::vector<Candidate>& kept, double uniform) {
  double total = 0;
  for (const Candidate& candidate : kept) total += candidate.weight;
  double sum = 0;
  Candidate last = kept.front();
  for (const Candidate& candidate : kept) {
    if (candidate.weight == 0) continue;
    last = candidate;
    sum += candidate.weight;
    if (sum > uniform * total) break;
  }
  return last;  // rounding may leave sum just below: the last possible token
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

// Top-k first, then top-p of what is left; `total` is the weight of all tokens. In order of id.
void Restrict(const SampleRow& row, double total, std::vector<Candidate>& kept) {
  if (row.top_k > 0 && row.top_k < static_cast<int64_t>(kept.size())) {
    std::nth_element(kept.begin(), kept.begin() + (row.top_k - 1), kept.end(), Before);
    kept.resize(row.top_k);
  }
  if (row.top_k > 0) {
    total = 0;
    for (const Candidate& candidate : kept) total += candidate.weight;
  }
  if (row.top_p < 1) KeepTopP(row.top_p, total, kept);
  std::sort(kept.begin(), kept.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

// How one row's token is found after the first pass over the vocabulary has left the statistics of
// its tiles: which tiles must be looked at again, and what is taken from them.
class RowSampler {
 public:
  RowSampler(const SampleRow& params, float scale, int64_t vocabulary, const TileStats* tiles,
             const LogitSummary& summary)
      : params_(params),
        scale_(scale),
        vocabulary_(vocabulary),
        tiles_(tiles, VocabularyTiles(vocabulary)),
        summary_(summary) {
    if (params.temperature == 0) {
      ChooseLargest();
    } else if (params.top_p < 1 || (params.top_k > 0 && params.top_k < vocabulary)) {
      ChooseCandidates();
    } else {
      ChooseByMass();
    }
  }

  const std::vector<int64_t>& Tiles() const { return wanted_; }

  // Takes what it needs from the logits of a wanted tile; different tiles may come from different
  // threads at once.
  void Look(const CpuContext& context, int64_t tile, const float* logits) {
    const int64_t begin = tile * kVocabularyTile;
    const int64_t count = std::min(kVocabularyTile, vocabulary_ - begin);
    if (params_.temperature == 0) {
      const float* largest = std::max_element(logits, logits + count);
      Take(begin + (largest - logits), *largest);
      return;
    }
    float weights[kVocabularyTile];
    if (!restricted_) {
      context.primitives.exp_scaled(logits, scale_, tiles_[tile].max, count, weights);
      PickInTile(begin, count, weights, logits);
      return;
    }
    context.primitives.exp_scaled(logits, scale_, static_cast<float>(summary_.max), count, weights);
    std::vector<Candidate>& found =
        found_[std::ranges::lower_bound(wanted_, tile) - wanted_.begin()];
    for (int64_t i = 0; i < count; ++i) {
      if (weights[i] < least_) continue;
      found.push_back({weights[i], static_cast<int32_t>(begin + i), logits[i] * scale_});
    }
  }

  // The token, once every wanted tile was looked at.
  Candidate Choose() {
    if (!restricted_) return chosen_;
    std::vector<Candidate> candidates;
    for (const auto& found : found_)
      candidates.insert(candidates.end(), found.begin(), found.end());
    if (candidates.empty()) return {.score = NAN};  // logits that are not numbers
    Restrict(params_, std::exp(summary_.log_sum), candidates);
    return PickInOrder(candidates, params_.uniform);
  }

 private:
  int64_t TileCount() const { return static_cast<int64_t>(tiles_.size()); }
  double Mass(int64_t tile) const {
    return std::exp(static_cast<double>(tiles_[tile].max) - summary_.max) * tiles_[tile].sum;
  }
  void Take(int64_t token, float logit) {
    chosen_ = {.id = static_cast<int32_t>(token), .score = logit * scale_};
  }

  void ChooseLargest() {
    const auto largest = std::ranges::max_element(
        tiles_, [](const TileStats& a, const TileStats& b) { return a.max < b.max; });
    wanted_ = {largest - tiles_.begin()};
  }

  // The sums of the tiles say in which one to look.
  void ChooseByMass() {
    double total = 0;
    for (int64_t tile = 0; tile < TileCount(); ++tile) total += Mass(tile);
    double rest = params_.uniform * total;
    int64_t last = 0;  // the last tile that weighs anything: rounding may lead behind it
    int64_t tile = 0;
    for (; tile < TileCount(); ++tile) {
      const double here = Mass(tile);
      if (here > 0) last = tile;
      if (here > rest) break;
      rest -= here;
    }
    const bool beyond = tile == TileCount();
    tile = beyond ? last : tile;
    within_ =
        beyond ? INFINITY : rest / std::exp(static_cast<double>(tiles_[tile].max) - summary_.max);
    wanted_ = {tile};
  }

  void PickInTile(int64_t begin, int64_t count, const float* weights, const float* logits) {
    double sum = 0;
    Take(begin, logits[0]);
    for (int64_t i = 0; i < count; ++i) {
      if (!(weights[i] > 0)) continue;
      Take(begin + i, logits[i]);
      sum += weights[i];
      if (sum > within_) break;
    }
  }

  // Tokens below a weight that top-k and top-p alone never need are left out, with their tiles.
  void ChooseCandidates() {
    restricted_ = true;
    const bool top_k = params_.top_k > 0 && params_.top_k < vocabulary_;
    if (top_k) {
      // Each of the k largest maxima is a token, so the k-th bounds the k-th token from below.
      std::vector<float> maxima;
      for (const TileStats& tile : tiles_) maxima.push_back(tile.max);
      const int64_t place = std::min<int64_t>(params_.top_k, TileCount()) - 1;
      std::ranges::nth_element(maxima, maxima.begin() + place, std::greater());
      if (params_.top_k <= TileCount()) least_max_ = maxima[place];
    } else {
      // Together they hold less than (1 - top_p) / 2 of all.
      least_ = static_cast<float>(0.5 * (1.0 - params_.top_p) * std::exp(summary_.log_sum) /
                                  static_cast<double>(vocabulary_));
    }
    for (int64_t tile = 0; tile < TileCount(); ++tile) {
      const float weight = std::exp(tiles_[tile].max - static_cast<float>(summary_.max));
      // A hair of room: the weight of the tile's largest token comes from another exp.
      if (tiles_[tile].max >= least_max_ && weight * 1.001f >= least_) wanted_.push_back(tile);
    }
    found_.resize(wanted_.size());
  }

  const SampleRow& params_;
  const float scale_;
  const int64_t vocabulary_;
  const std::span<const TileStats> tiles_;
  const LogitSummary& summary_;
  std::vector<int64_t> wanted_;  // ascending
  bool restricted_ = false;      // by top-k or top-p
  float least_ = 0;              // weight of a candidate
  float least_max_ = -INFINITY;  // of a tile with candidates
  double within_ = 0;            // cumulated weight in the chosen tile at which the token is
  std::vector<std::vector<Candidate>> found_;  // by wanted tile
  Candidate chosen_;
};

// Computes each wanted tile once, for all rows that want it: no [rows, V] array is ever there.
void LookAgain(const CpuContext& context, const SampleArgs& args,
               std::vector<RowSampler>& samplers) {
  const int64_t row_bytes = PaddedInputs(args.w.inputs) * SizeOf(args.w.dtype);
  const int64_t tiles = VocabularyTiles(args.w.outputs);
  std::vector<std::vector<int64_t>> rows_of(tiles);
  for (int64_t row = 0; row < args.rows; ++row) {
    for (const int64_t tile : samplers[row].Tiles()) rows_of[tile].push_back(row);
  }
  struct Item {
    int64_t tile = 0;
    std::span<const int64_t> rows;
  };
  const auto look = [&](const Item& item) {
    const int64_t output = item.tile * kVocabularyTile;
    const int64_t count = static_cast<int64_t>(item.rows.size());
    float* logits = ThreadScratch(kLogitRows * kVocabularyTile + kLogitRows * row_bytes / 4);
    char* hidden = reinterpret_cast<char*>(logits + kLogitRows * kVocabularyTile);
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(hidden + i * row_bytes,
                  static_cast<const char*>(args.hidden) + item.rows[i] * row_bytes, row_bytes);
    }
    MatMulTile(context, {.x = hidden,
                         .x_stride = PaddedInputs(args.w.inputs),
                         .w = args.w,
                         .output = output,
                         .count = std::min(kVocabularyTile, args.w.outputs - output),
                         .y = logits,
                         .y_stride = kVocabularyTile,
                         .rows = count});
    for (int64_t i = 0; i < count; ++i) {
      samplers[item.rows[i]].Look(context, item.tile, logits + i * kVocabularyTile);
    }
  };
  std::vector<Item> items;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const std::span<const int64_t> rows = rows_of[tile];
    for (size_t begin = 0; begin < rows.size(); begin += kLogitRows) {
      items.push_back(
          {tile, rows.subspan(begin, std::min<size_t>(kLogitRows, rows.size() - begin))});
    }
  }
  context.pool.ParallelFor(static_cast<int64_t>(items.size()), [&](int64_t i) { look(items[i]); });
}

}  // namespace

void Sample(const CpuContext& context, const SampleArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.hidden != nullptr && args.w.data != nullptr && args.w.outputs > 0 &&
               args.w.inputs > 0);
  PONDER_CHECK(args.params != nullptr && args.tokens != nullptr && args.logprobs != nullptr &&
               args.entropies != nullptr);
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
  context.workspace.Reset();
  const int64_t tiles = VocabularyTiles(args.w.outputs);
  TileStats* stats = context.workspace.Take<TileStats>(args.rows * tiles);
  std::vector<LogitSummary> summaries(args.rows);
  Summarise(context,
            {.hidden = args.hidden,
             .w = args.w,
             .inverse_temperatures = scales.data(),
             .tiles = stats,
             .rows = args.rows},
            summaries.data());
  std::vector<RowSampler> samplers;
  samplers.reserve(args.rows);
  for (int64_t row = 0; row < args.rows; ++row) {
    samplers.emplace_back(args.params[row], scales[row], args.w.outputs, stats + row * tiles,
                          summaries[row]);
  }
  LookAgain(context, args, samplers);
  context.pool.ParallelFor(args.rows, [&](int64_t row) {
    const Candidate chosen = samplers[row].Choose();
    args.tokens[row] = chosen.id;
    args.logprobs[row] = summaries[row].LogProb(chosen.score);
    args.entropies[row] = static_cast<float>(summaries[row].entropy);
  });
}

}  // namespace ponder::kernels::cpu
