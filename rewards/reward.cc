#include "rewards/reward.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace ponder {
namespace {

// What the terms and gates look at, before weights.
class Scores {
 public:
  Scores(const RewardSettings& settings, const Completion& completion, const Verdict& verdict)
      : settings_(settings), completion_(completion), verdict_(verdict) {}

  double Part(const std::string& name) const {
    const auto found = verdict_.parts.find(name);
    return found == verdict_.parts.end() ? 0 : std::clamp(found->second, 0.0, 1.0);
  }
  double R1Format() const { return R1FormatScore(completion_.text); }
  double Language() const {
    PONDER_CHECK(settings_.language.has_value(), "a language term has a language");
    return settings_.language->Of(completion_.text);
  }
  bool GateHolds(const std::string& gate) const {
    if (gate == "r1_format") return R1Format() >= kGateHolds;
    if (gate == "language") return Language() >= kGateHolds;
    return !verdict_.parts.contains(gate) || Part(gate) >= kGateHolds;
  }

 private:
  const RewardSettings& settings_;
  const Completion& completion_;
  const Verdict& verdict_;
};

}  // namespace

Reward ComputeReward(const RewardSettings& settings, const Completion& completion,
                     const Verdict& verdict) {
  PONDER_CHECK(
      verdict.status != VerdictStatus::kInternal && verdict.status != VerdictStatus::kUnspecified,
      "a verifier's own failure is never a reward");
  const Scores scores(settings, completion, verdict);
  const auto length = static_cast<int64_t>(completion.token_ids.size());
  const bool truncated = completion.finish == FinishReason::kLength;
  const bool counts = verdict.status != VerdictStatus::kInvalidGold;
  Reward reward;
  const auto add = [&](const std::string& name, double weight, const auto& score) {
    if (weight != 0) reward.parts[name] = counts ? weight * score() : 0;
  };
  reward.parts["correct"] = counts ? settings.correct_weight * verdict.score : 0;
  for (const auto& [name, weight] : settings.part_weights) {
    add(name, weight, [&] { return scores.Part(name); });
  }
  add("truncated", settings.truncated_penalty, [&] { return truncated ? -1.0 : 0.0; });
  add("r1_format", settings.r1_format_weight, [&] { return scores.R1Format(); });
  add("language", settings.language_weight, [&] { return scores.Language(); });
  add("overlong", settings.overlong_weight,
      [&] { return OverlongPenalty(length, settings.max_new_tokens, settings.overlong_buffer); });
  add("repetition", settings.repetition_weight,
      [&] { return -RepetitionShare(completion.token_ids, settings.repetition_ngram); });
  add("cosine", settings.cosine_weight, [&] {
    return CosineLengthScore(settings.cosine, verdict.status == VerdictStatus::kCorrect, truncated,
                             length, settings.max_new_tokens);
  });
  for (const auto& [name, value] : reward.parts) reward.total += value;
  if (!settings.gates.empty()) {
    const bool holds = std::all_of(settings.gates.begin(), settings.gates.end(),
                                   [&](const std::string& gate) { return scores.GateHolds(gate); });
    const double taken = holds ? 0 : std::max(reward.total, 0.0);
    reward.parts["gated"] = -taken;
    reward.total -= taken;
  }
  PONDER_CHECK(std::isfinite(reward.total), "scores of verdicts are finite");
  return reward;
}

}  // namespace ponder
