#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/records.h"

namespace ponder {

// Which parts make the reward. A verdict's score is the part "correct"; its named parts ("format")
// follow; shaping adds more.
struct RewardSettings {
  double correct_weight = 1.0;
  double format_weight = 0.1;
  double truncated_penalty = 0.0;  // subtracted where the completion ran into its length limit
};

// A reward for a judged completion; `verdict.status` must not be kInternal.
Reward ComputeReward(const RewardSettings& settings, const Completion& completion,
                     const Verdict& verdict);

}  // namespace ponder
