#include "app/step_score.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "app/part_metrics.h"

namespace ponder {
namespace {

double Mean(double sum, int64_t count) { return count == 0 ? 0 : sum / static_cast<double>(count); }

}  // namespace

ScoredStep ScoreStep(const RewardSettings& settings, const AdvantageEstimator& advantage,
                     std::vector<JudgedGroup> judged) {
  ScoredStep step;
  Metrics& metrics = step.metrics;
  int64_t completions = 0, sampled = 0, retries = 0, all_right = 0, all_wrong = 0, useful = 0;
  int64_t truncated = 0;
  double entropy = 0, reward = 0, reward_squares = 0, verify_s = 0;
  std::map<std::string, double> parts;
  for (JudgedGroup& group : judged) {
    for (const auto& [reason, count] : group.dropped) {
      metrics["dropped/" + reason] += static_cast<double>(count);
      step.dropped += count;
    }
    step.dropped_words.insert(group.words.begin(), group.words.end());
    retries += group.retries;
    verify_s += group.seconds;
    ScoredGroup scored{.group = std::move(group.group), .verdicts = std::move(group.verdicts)};
    const size_t size = scored.verdicts.size();
    std::vector<double> rewards;
    int64_t correct = 0;
    for (size_t i = 0; i < size; ++i) {
      const Completion& completion = scored.group.completions[i];
      scored.rewards.push_back(ComputeReward(settings, completion, scored.verdicts[i]));
      rewards.push_back(scored.rewards.back().total);
      reward += rewards.back();
      reward_squares += rewards.back() * rewards.back();
      for (const auto& [name, value] : scored.rewards.back().parts) parts[name] += value;
      ++metrics["verdict/" + std::string(ToString(scored.verdicts[i].status))];
      correct += scored.verdicts[i].status == VerdictStatus::kCorrect;
      step.completion_tokens += static_cast<double>(completion.token_ids.size());
      truncated += completion.finish == FinishReason::kLength;
      for (size_t t = 0; t < completion.token_ids.size(); ++t) {
        if (completion.sampled_mask[t] == 0) continue;
        entropy += completion.entropies[t];
        ++sampled;
      }
    }
    completions += static_cast<int64_t>(size);
    if (size < 2) {
      // One completion has no group to be compared with.
      if (size == 1) metrics["dropped/group of one"] += 1;
      continue;
    }
    scored.advantages = advantage.Estimate(rewards);
    const bool signal = std::any_of(scored.advantages.begin(), scored.advantages.end(),
                                    [](float advantage) { return advantage != 0; });
    useful += signal;
    all_right += !signal && correct == static_cast<int64_t>(size);
    all_wrong += !signal && correct < static_cast<int64_t>(size);
    step.solve_rates.emplace_back(scored.group.task.id,
                                  static_cast<double>(correct) / static_cast<double>(size));
    step.groups.push_back(std::move(scored));
  }

  const auto groups = static_cast<int64_t>(step.groups.size());
  metrics["reward/mean"] = Mean(reward, completions);
  metrics["reward/std"] = std::sqrt(
      std::max(0.0, Mean(reward_squares, completions) - std::pow(Mean(reward, completions), 2)));
  for (const auto& [name, sum] : parts) metrics["reward/" + name] = Mean(sum, completions);
  AddPartMetrics(step.groups, metrics);
  metrics["length/mean"] = Mean(step.completion_tokens, completions);
  metrics["length/truncated"] = Mean(static_cast<double>(truncated), completions);
  metrics["groups/useful"] = Mean(static_cast<double>(useful), groups);
  metrics["groups/all_right"] = Mean(static_cast<double>(all_right), groups);
  metrics["groups/all_wrong"] = Mean(static_cast<double>(all_wrong), groups);
  metrics["policy/entropy"] = Mean(entropy, sampled);
  metrics["dropped/total"] = static_cast<double>(step.dropped);
  metrics["verifier/retries"] = static_cast<double>(retries);
  metrics["time/verify_s"] = verify_s;
  return step;
}

}  // namespace ponder
