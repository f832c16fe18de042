#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/records.h"
#include "rewards/language.h"
#include "rewards/shaping.h"

namespace ponder {

// Which terms make the reward, each with its weight; 0 leaves a term out.
struct RewardSettings {
  double correct_weight = 1.0;  // "correct": the verdict's score
  std::map<std::string, double>
      part_weights;              // "format", ...: parts of the verdict, clamped to 0 to 1
  double truncated_penalty = 0;  // "truncated": subtracted at the length limit

  double r1_format_weight = 0;            // "r1_format"
  double language_weight = 0;             // "language"
  std::optional<LanguageShare> language;  // there where a term or gate asks for it
  double overlong_weight = 0;             // "overlong": weight times 0 to -1
  int64_t overlong_buffer = 1;            // tokens
  double repetition_weight = 0;           // "repetition": minus weight times the share
  int64_t repetition_ngram = 20;          // tokens
  double cosine_weight = 0;               // "cosine"
  CosineLengthSettings cosine;
  int64_t max_new_tokens = 1;  // the limit that lengths are measured by

  // Parts of the verdict, or "r1_format", or "language": where one of them is below kGateHolds, the
  // reward is not above 0. A part that a verdict lacks holds.
  std::vector<std::string> gates;
};

inline constexpr double kGateHolds = 0.5;

// The reward of a judged completion; `verdict.status` must not be kInternal. Its parts, weighted,
// sum to its total; the part "gated" is what a gate took away. A task at fault (INVALID_GOLD) is
// worth 0 in every term, so that nothing is learnt from it. Thread-safe.
Reward ComputeReward(const RewardSettings& settings, const Completion& completion,
                     const Verdict& verdict);

}  // namespace ponder
