#include "observe/dashboard/metric_parts.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "observe/dashboard/run_json.h"

namespace ponder {
namespace {

using OfSample = std::function<double(const SampleSummary&)>;
using OfCompletion = std::function<MetricPart(const StoredCompletion&)>;

bool IsPull(std::string_view metric) {
  return metric.starts_with("loss/") || metric == "optimizer/gradient_norm" ||
         metric == "optimizer/skipped_updates" || metric.starts_with("policy/ratio") ||
         metric == "policy/kl" || metric == "policy/behaviour_kl";
}

// What is in the list of a step's samples; empty where the metric is not.
OfSample SampleMeasure(std::string_view metric) {
  if (metric == "reward/mean") {
    return [](const SampleSummary& sample) { return sample.reward; };
  }
  if (metric == "length/mean") {
    return [](const SampleSummary& sample) { return static_cast<double>(sample.tokens); };
  }
  if (metric == "length/truncated") {
    return [](const SampleSummary& sample) {
      return sample.finish == FinishReason::kLength ? 1.0 : 0.0;
    };
  }
  if (IsPull(metric)) {
    return [](const SampleSummary& sample) {
      return std::abs(sample.advantage) * static_cast<double>(sample.tokens);
    };
  }
  return nullptr;
}

// As the metrics count them: a group has a signal where its advantages are not all 0.
std::optional<std::vector<MetricPart>> GroupMeasure(std::string_view metric,
                                                    std::span<const GroupSummary> groups) {
  const bool useful = metric == "groups/useful", all_right = metric == "groups/all_right";
  if (!useful && !all_right && metric != "groups/all_wrong") return std::nullopt;
  std::vector<MetricPart> parts;
  for (const GroupSummary& group : groups) {
    const bool signal =
        std::any_of(group.samples.begin(), group.samples.end(),
                    [](const SampleSummary& sample) { return sample.advantage != 0; });
    const bool right = RightSamples(group) == std::ssize(group.samples);
    const bool counts = useful ? signal : !signal && right == all_right;
    parts.push_back({counts ? 1.0 : 0.0, 1.0});
  }
  return parts;
}

std::vector<MetricPart> SquaredDistances(std::span<const GroupSummary> groups) {
  MetricPart all;
  for (const GroupSummary& group : groups) {
    for (const SampleSummary& sample : group.samples) all.sum += sample.reward;
    all.count += static_cast<double>(group.samples.size());
  }
  const double mean = all.sum / all.count;
  std::vector<MetricPart> parts;
  for (const GroupSummary& group : groups) {
    MetricPart part{.count = static_cast<double>(group.samples.size())};
    for (const SampleSummary& sample : group.samples) part.sum += std::pow(sample.reward - mean, 2);
    parts.push_back(part);
  }
  return parts;
}

// Numbers of verdicts: the metric is a count, so that the counts of all groups make up one.
std::optional<std::vector<MetricPart>> VerdictMeasure(std::string_view metric,
                                                      std::span<const GroupSummary> groups) {
  constexpr std::string_view kPrefix = "verdict/";
  if (!metric.starts_with(kPrefix)) return std::nullopt;
  size_t samples = 0;
  for (const GroupSummary& group : groups) samples += group.samples.size();
  std::vector<MetricPart> parts;
  for (const GroupSummary& group : groups) {
    const auto found =
        std::count_if(group.samples.begin(), group.samples.end(), [&](const SampleSummary& sample) {
          return ToString(sample.status) == metric.substr(kPrefix.size());
        });
    parts.push_back({static_cast<double>(found),
                     static_cast<double>(group.samples.size()) / static_cast<double>(samples)});
  }
  return parts;
}

// Calls `visit(index, value)` for each token that the model sampled and that has one. A store may
// lack any of a completion's arrays.
template <typename T, typename Visit>
void ForEachSampled(const Completion& completion, const std::vector<T>& values, Visit visit) {
  for (size_t i = 0; i < std::min(values.size(), completion.token_ids.size()); ++i) {
    if (completion.sampled_mask.empty() || completion.sampled_mask[i]) visit(i, values[i]);
  }
}

MetricPart ClippedShare(const StoredCompletion& stored, int8_t side) {
  MetricPart part;
  ForEachSampled(stored.completion, stored.completion.token_ids, [&](size_t i, int32_t) {
    part.sum += i < stored.clips.size() && stored.clips[i] == side;
    ++part.count;
  });
  return part;
}

OfCompletion CompletionMeasure(std::string_view metric) {
  if (metric == "policy/entropy") {
    return [](const StoredCompletion& stored) {
      MetricPart part;
      ForEachSampled(stored.completion, stored.completion.entropies, [&](size_t, float entropy) {
        part.sum += entropy;
        ++part.count;
      });
      return part;
    };
  }
  if (metric == "policy/clip_low") {
    return [](const StoredCompletion& stored) { return ClippedShare(stored, -1); };
  }
  if (metric == "policy/clip_high") {
    return [](const StoredCompletion& stored) { return ClippedShare(stored, 1); };
  }
  constexpr std::string_view kReward = "reward/", kVerdict = "part/";
  if (metric.starts_with(kReward)) {
    return [name = std::string(metric.substr(kReward.size()))](const StoredCompletion& stored) {
      const auto found = stored.reward.parts.find(name);
      return MetricPart{found == stored.reward.parts.end() ? 0.0 : found->second, 1.0};
    };
  }
  if (metric.starts_with(kVerdict)) {
    // A mean over the verdicts that have the part.
    return [name = std::string(metric.substr(kVerdict.size()))](const StoredCompletion& stored) {
      const auto found = stored.verdict.parts.find(name);
      return found == stored.verdict.parts.end() ? MetricPart() : MetricPart{found->second, 1.0};
    };
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::optional<MetricParts>> ReadMetricParts(std::string_view metric,
                                                           std::span<const GroupSummary> groups,
                                                           RunReader& reader,
                                                           absl::Duration time_limit) {
  using Kind = MetricParts::Kind;
  if (metric == "reward/std") return MetricParts{Kind::kSpread, SquaredDistances(groups)};
  if (auto parts = GroupMeasure(metric, groups)) return MetricParts{Kind::kMean, *parts};
  if (auto parts = VerdictMeasure(metric, groups)) return MetricParts{Kind::kMean, *parts};
  MetricParts parts{IsPull(metric) ? Kind::kPull : Kind::kMean,
                    std::vector<MetricPart>(groups.size())};
  if (const OfSample measure = SampleMeasure(metric)) {
    for (size_t i = 0; i < groups.size(); ++i) {
      for (const SampleSummary& sample : groups[i].samples) {
        parts.groups[i].sum += measure(sample);
        ++parts.groups[i].count;
      }
    }
    return parts;
  }
  const OfCompletion measure = CompletionMeasure(metric);
  if (measure == nullptr) return std::nullopt;
  const absl::Time deadline = absl::Now() + time_limit;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const SampleSummary& sample : groups[i].samples) {
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(fmt::format(
            "reading the step's samples took longer than {}", absl::FormatDuration(time_limit)));
      }
      PONDER_ASSIGN_OR_RETURN(const StoredCompletion stored, reader.ReadCompletion(sample.sample));
      const MetricPart part = measure(stored);
      parts.groups[i].sum += part.sum;
      parts.groups[i].count += part.count;
    }
  }
  return parts;
}

absl::StatusOr<std::vector<TellingToken>> TellingTokens(std::string_view metric,
                                                        std::span<const GroupSummary> groups,
                                                        RunReader& reader, size_t most,
                                                        absl::Duration time_limit) {
  const bool entropy = metric == "policy/entropy";
  const bool low = metric == "policy/clip_low", high = metric == "policy/clip_high";
  std::vector<TellingToken> tokens;
  if (!entropy && !low && !high && !IsPull(metric)) return tokens;
  // The least first: an unlikely token, a much undecided one.
  const auto less = [&](const TellingToken& a, const TellingToken& b) {
    return entropy ? a.value > b.value : a.value < b.value;
  };
  const absl::Time deadline = absl::Now() + time_limit;
  for (const GroupSummary& group : groups) {
    for (const SampleSummary& sample : group.samples) {
      if (absl::Now() > deadline) break;
      PONDER_ASSIGN_OR_RETURN(const StoredCompletion stored, reader.ReadCompletion(sample.sample));
      const Completion& completion = stored.completion;
      const auto add = [&](size_t i, float value) {
        if (!std::isfinite(value)) return;
        std::string_view what = entropy ? "entropy" : "log-prob";
        if (low || high) {
          if (i >= stored.clips.size() || stored.clips[i] != (low ? -1 : 1)) return;
          what = low ? "cut off below" : "cut off above";
        }
        tokens.push_back({.sample = sample.sample,
                          .position = static_cast<int64_t>(i),
                          .id = completion.token_ids[i],
                          .value = value,
                          .what = what});
      };
      ForEachSampled(completion, entropy ? completion.entropies : completion.logprobs, add);
      const size_t kept = std::min(most, tokens.size());
      std::partial_sort(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(kept),
                        tokens.end(), less);
      tokens.resize(kept);
    }
  }
  return tokens;
}

}  // namespace ponder
