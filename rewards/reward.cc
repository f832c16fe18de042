#include "rewards/reward.h"

#include <cmath>

#include "base/check.h"

namespace ponder {

Reward ComputeReward(const RewardSettings& settings, const Completion& completion,
                     const Verdict& verdict) {
  PONDER_CHECK(
      verdict.status != VerdictStatus::kInternal && verdict.status != VerdictStatus::kUnspecified,
      "a verifier's own failure is never a reward");
  Reward reward;
  reward.parts["correct"] = settings.correct_weight * verdict.score;
  const auto format = verdict.parts.find("format");
  reward.parts["format"] =
      format == verdict.parts.end() ? 0.0 : settings.format_weight * format->second;
  if (settings.truncated_penalty != 0) {
    reward.parts["truncated"] =
        completion.finish == FinishReason::kLength ? -settings.truncated_penalty : 0.0;
  }
  for (const auto& [name, value] : reward.parts) reward.total += value;
  PONDER_CHECK(std::isfinite(reward.total), "scores of verdicts are finite");
  return reward;
}

}  // namespace ponder
