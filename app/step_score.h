#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/judge.h"
#include "base/records.h"
#include "observe/metric_sink.h"
#include "rewards/advantage.h"
#include "rewards/reward.h"

namespace ponder {

// What a step's verdicts come to.
struct ScoredStep {
  std::vector<ScoredGroup> groups;  // of two completions at least: what the learner gets
  std::vector<std::pair<std::string, double>> solve_rates;  // by task
  int64_t dropped = 0;                                      // completions without a verdict
  std::map<std::string, std::string> dropped_words;         // JudgedGroup::words
  double completion_tokens = 0;                             // of those with one
  // "reward/...", "verdict/...", "groups/...", "length/...", "dropped/...", "part/...",
  // "policy/entropy" and the verifier's own.
  Metrics metrics;
};

// Verdicts to rewards to advantages.
ScoredStep ScoreStep(const RewardSettings& settings, const AdvantageEstimator& advantage,
                     std::vector<JudgedGroup> judged);

}  // namespace ponder
