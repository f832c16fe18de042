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
  if (metric == "reward/mean" || metric == "reward/std") {
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

std::optional<std::vector<MetricPart>> GroupMeasure(std::string_view metric,
                                                    std::span<const GroupSummary> groups) {
  std::function<bool(const GroupSummary&)> counts;
  if (metric == "groups/all_right") {
    counts = [](const GroupSummary& group) {
      return RightSamples(group) == std::ssize(group.samples);
    };
  } else if (metric == "groups/all_wrong") {
    counts = [](const GroupSummary& group) { return RightSamples(group) == 0; };
  } else if (metric == "groups/useful") {
    counts = [](const GroupSummary& group) {
      return std::any_of(
          group.samples.begin(), group.samples.end(),
          [&](const SampleSummary& sample) { return sample.reward != group.samples[0].reward; });
    };
  } else {
    return std::nullopt;
  }
  std::vector<MetricPart> parts;
  for (const GroupSummary& group : groups) parts.push_back({counts(group) ? 1.0 : 0.0, 1.0});
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

// Calls `visit(index, value)` for each token that the model sampled and that has one.
template <typename T, typename Visit>
void ForEachSampled(const Completion& completion, const std::vector<T>& values, Visit visit) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (completion.sampled_mask.empty() || completion.sampled_mask[i]) visit(i, values[i]);
  }
}

MetricPart ClippedShare(const StoredCompletion& stored, int8_t side) {
  MetricPart part{.count = static_cast<double>(stored.completion.token_ids.size())};
  ForEachSampled(stored.completion, stored.clips,
                 [&](size_t, int8_t clip) { part.sum += clip == side; });
  return part;
}

MetricPart NamedPart(const std::map<std::string, double>& parts, std::string_view name) {
  const auto found = parts.find(std::string(name));
  return {found == parts.end() ? 0.0 : found->second, 1.0};
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
  for (const auto& [prefix, of_verdict] :
       {std::pair{std::string_view("reward/"), false}, {std::string_view("part/"), true}}) {
    if (!metric.starts_with(prefix)) continue;
    return [name = std::string(metric.substr(prefix.size())),
            verdict = of_verdict](const StoredCompletion& stored) {
      return NamedPart(verdict ? stored.verdict.parts : stored.reward.parts, name);
    };
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::optional<std::vector<MetricPart>>> MetricParts(
    std::string_view metric, std::span<const GroupSummary> groups, RunReader& reader,
    absl::Duration time_limit) {
  if (auto parts = GroupMeasure(metric, groups)) return parts;
  if (auto parts = VerdictMeasure(metric, groups)) return parts;
  std::vector<MetricPart> parts(groups.size());
  if (const OfSample measure = SampleMeasure(metric)) {
    for (size_t i = 0; i < groups.size(); ++i) {
      for (const SampleSummary& sample : groups[i].samples) {
        parts[i].sum += measure(sample);
        ++parts[i].count;
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
      parts[i].sum += part.sum;
      parts[i].count += part.count;
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
  const bool logprob = IsPull(metric) || metric.starts_with("exactness/");
  std::vector<TellingToken> tokens;
  if (!entropy && !low && !high && !logprob) return tokens;
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
