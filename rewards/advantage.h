#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

// Rewards of one group to advantages, one a completion. Pure; thread-safe.
class AdvantageEstimator {
 public:
  virtual ~AdvantageEstimator() = default;
  virtual std::string Name() const = 0;
  virtual std::vector<float> Estimate(std::span<const double> rewards) const = 0;
};

// "grpo": (r - mean) / (std + 1e-6), population std (Shao et al. 2024, DeepSeekMath, section 4.1.2)
// "dr_grpo": r - mean (Liu et al. 2025, Understanding R1-Zero-Like Training)
// "rloo": r - mean of the others (Ahmadian et al. 2024)
// A group whose rewards are all equal gets exact zeros from each.
absl::StatusOr<std::unique_ptr<AdvantageEstimator>> CreateAdvantageEstimator(
    const std::string& name);

}  // namespace ponder
