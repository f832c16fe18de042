#include "observe/reward_hacking.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "observe/correct_share.h"
#include "observe/robust_statistics.h"

namespace ponder {
namespace {

constexpr std::string_view kReward = "reward/mean";
constexpr std::string_view kLength = "length/mean";
constexpr std::string_view kCorrect = "verdict/CORRECT";

// A curve of the run with where it goes.
struct Tracked {
  std::string name;
  std::span<const double> values;
  Trend trend;
};

std::optional<Tracked> Find(const MetricTable& table, std::string_view name) {
  const auto found = table.values.find(std::string(name));
  if (found == table.values.end()) return std::nullopt;
  return Tracked{found->first, found->second, TrendOf(found->second)};
}

std::vector<Tracked> FindAll(const MetricTable& table, std::string_view prefix,
                             std::string_view suffix) {
  std::vector<Tracked> all;
  for (auto it = table.values.lower_bound(std::string(prefix));
       it != table.values.end() && it->first.starts_with(prefix); ++it) {
    if (!it->first.ends_with(suffix)) continue;
    all.push_back({it->first, it->second, TrendOf(it->second)});
  }
  return all;
}

std::string FromTo(const Trend& trend) {
  return fmt::format("{:.3g} to {:.3g}", trend.from, trend.to);
}
std::string SharesFromTo(const Trend& trend) {
  return fmt::format("{:.0f} % to {:.0f} %", 100 * trend.from, 100 * trend.to);
}

Hint OverRun(const MetricTable& train, std::string kind, HintSeverity severity,
             std::vector<std::string> metrics, std::string text, std::string remedy) {
  return {.kind = std::move(kind),
          .severity = severity,
          .text = std::move(text),
          .metrics = std::move(metrics),
          .first_step = train.steps.front(),
          .last_step = train.steps.back(),
          .remedy = std::move(remedy)};
}

// The reward rises with the length. Right answers are not why where their share does not rise, and
// where what they bring is less than half of what was gained.
void LengthPays(const MetricTable& train, const Trend& correct, std::vector<Hint>& hints) {
  const std::optional<Tracked> reward = Find(train, kReward), length = Find(train, kLength);
  if (!reward || !length || !reward->trend.rises || !length->trend.rises || correct.rises) return;
  const std::optional<Tracked> brings = Find(train, "reward/correct");
  if (brings &&
      brings->trend.to - brings->trend.from >= (reward->trend.to - reward->trend.from) / 2) {
    return;
  }
  const RankCorrelation together = Correlate(reward->values, length->values);
  if (together.Sigmas() < kBeyondChance) return;
  hints.push_back(OverRun(
      train, "length_pays", HintSeverity::kWarning,
      {std::string(kReward), std::string(kLength), std::string(kCorrect)},
      fmt::format(
          "the reward rises with the length ({} and {} tokens, rank correlation {:.2f} over "
          "{} steps) while the share of right answers does not ({})",
          FromTo(reward->trend), FromTo(length->trend), together.rho, together.pairs,
          SharesFromTo(correct)),
      "look at the longest and best paid samples; reward.overlong.weight or "
      "reward.repetition.weight above 0, reward.gates, smaller weights of what is not "
      "correctness"));
}

bool IsFormat(std::string_view name) { return name == "format" || name == "r1_format"; }

void FormatInsteadOfCorrectness(const MetricTable& train, const Trend& correct,
                                std::vector<Hint>& hints) {
  if (!correct.falls) return;
  for (const std::string_view prefix : {"reward/", "part/"}) {
    for (const Tracked& part : FindAll(train, prefix, "")) {
      if (!IsFormat(std::string_view(part.name).substr(prefix.size())) || !part.trend.rises)
        continue;
      hints.push_back(OverRun(
          train, "format_instead_of_correctness", HintSeverity::kWarning,
          {part.name, std::string(kCorrect)},
          fmt::format("{} rises ({}) while the share of right answers falls ({})", part.name,
                      FromTo(part.trend), SharesFromTo(correct)),
          "a smaller reward.format or reward.r1_format beside reward.correct, or the form as a "
          "condition: reward.gates = [\"format\"]"));
      return;
    }
  }
}

// Parts of the reward that go against each other, those that do most first.
void PartsAgainstEachOther(const MetricTable& train, std::vector<Hint>& hints) {
  constexpr size_t kMostHints = 3;
  std::vector<Tracked> parts = FindAll(train, "reward/", "");
  std::erase_if(
      parts, [](const Tracked& part) { return part.name == kReward || part.name == "reward/std"; });
  std::vector<std::pair<double, Hint>> found;
  for (const Tracked& up : parts) {
    if (!up.trend.rises) continue;
    for (const Tracked& down : parts) {
      if (!down.trend.falls) continue;
      const bool costs_correctness = down.name == "reward/correct";
      // Told with its own remedy.
      if (costs_correctness && IsFormat(std::string_view(up.name).substr(7))) continue;
      const RankCorrelation against = Correlate(up.values, down.values);
      if (against.Sigmas() > -kBeyondChance) continue;
      found.emplace_back(
          against.rho,
          OverRun(
              train, "parts_against_each_other",
              costs_correctness ? HintSeverity::kWarning : HintSeverity::kNote,
              {up.name, down.name},
              fmt::format("{} rises ({}) as {} falls ({}; rank correlation {:.2f} over {} steps)",
                          up.name, FromTo(up.trend), down.name, FromTo(down.trend), against.rho,
                          against.pairs),
              costs_correctness
                  ? "a smaller weight of the part that rises, or reward.correct higher"
                  : "look at samples that have the one and lack the other; weigh the parts anew "
                    "([reward]) if the trade is not meant"));
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < std::min(found.size(), kMostHints); ++i) {
    hints.push_back(std::move(found[i].second));
  }
}

// The reward around a step: the median over the steps that end with it, or over the first ones.
double RewardAt(const MetricTable& train, std::span<const double> reward, int64_t step) {
  constexpr size_t kSteps = 8;
  const auto behind = static_cast<size_t>(
      std::upper_bound(train.steps.begin(), train.steps.end(), step) - train.steps.begin());
  const size_t end = std::min(std::max(behind, kSteps), reward.size());
  return Median(reward.subspan(end - std::min(end, kSteps), std::min(end, kSteps)));
}

// Held-out accuracy below an earlier one by more than both intervals explain (95 %, so 1.96 sigma
// to each side), with the reward of training risen in between.
void HeldOutFalls(const MetricTable& train, const MetricTable& eval, std::vector<Hint>& hints) {
  const std::optional<Tracked> reward = Find(train, kReward);
  if (!reward || eval.steps.size() < 2) return;
  for (const std::string_view mode : {"eval/greedy_accuracy", "eval/sampled_accuracy"}) {
    const std::optional<Tracked> accuracy = Find(eval, mode);
    const std::optional<Tracked> low = Find(eval, std::string(mode) + "_low");
    const std::optional<Tracked> high = Find(eval, std::string(mode) + "_high");
    if (!accuracy || !low || !high) continue;
    const auto variance = [&](size_t row) {
      return std::pow((high->values[row] - low->values[row]) / (2 * 1.96), 2);
    };
    const size_t last = eval.steps.size() - 1;
    size_t best = 0;
    for (size_t row = 1; row < last; ++row) {
      if (!(accuracy->values[row] <= accuracy->values[best])) best = row;
    }
    const double fall = accuracy->values[best] - accuracy->values[last];
    if (!(fall > kBeyondChance * std::sqrt(variance(best) + variance(last)))) continue;
    const double then = RewardAt(train, reward->values, eval.steps[best]);
    const double now = RewardAt(train, reward->values, eval.steps[last]);
    if (!(now - then > 2 * std::sqrt(2.0) * ErrorOfMedian(NoiseOf(reward->values), 8))) continue;
    Hint hint = OverRun(
        train, "held_out_falls", HintSeverity::kWarning, {std::string(kReward), std::string(mode)},
        fmt::format("the reward rises in training ({:.3g} to {:.3g}) while {} falls ({:.1f} % at "
                    "step {}, {:.1f} % at step {})",
                    then, now, mode, 100 * accuracy->values[best], eval.steps[best],
                    100 * accuracy->values[last], eval.steps[last]),
        "more or other tasks ([tasks]), fewer run.steps (take the checkpoint of the best "
        "evaluation), learner.kl_weight above 0; compare samples of both evaluations");
    hint.first_step = eval.steps[best];
    hint.last_step = eval.steps[last];
    hints.push_back(std::move(hint));
    return;
  }
}

void AuditsDispute(const MetricTable& train, std::vector<Hint>& hints) {
  for (const Tracked& audit : FindAll(train, "audit/", "_disagreement")) {
    if (!audit.trend.rises) continue;
    hints.push_back(OverRun(
        train, "audit_disputes", HintSeverity::kWarning, {audit.name, std::string(kReward)},
        fmt::format("{} rises ({}): the audit disputes ever more of the verdicts that pay",
                    audit.name, SharesFromTo(audit.trend)),
        "look at the disputed samples (disputed.jsonl); a stricter verifier.extraction, or the "
        "audit as a judge (role = \"judge\")"));
  }
}

}  // namespace

std::vector<Hint> FindRewardHacking(const MetricTable& train, const MetricTable& eval) {
  std::vector<Hint> hints;
  if (train.steps.empty()) return hints;
  const std::vector<double> shares = CorrectShares(train, train.steps.size());
  const Trend correct = TrendOf(shares);
  // Without verdicts there is nothing to say about right answers.
  if (correct.values > 0) {
    LengthPays(train, correct, hints);
    FormatInsteadOfCorrectness(train, correct, hints);
  }
  PartsAgainstEachOther(train, hints);
  HeldOutFalls(train, eval, hints);
  AuditsDispute(train, hints);
  return hints;
}

}  // namespace ponder
