#include "rewards/advantage.h"

#include <algorithm>
#include <cmath>

namespace ponder {
namespace {

// Asked before any mean is taken: the mean of equal numbers may differ from them in the last digit.
bool AllEqual(std::span<const double> rewards) {
  return std::all_of(rewards.begin(), rewards.end(),
                     [&](double reward) { return reward == rewards[0]; });
}

double Mean(std::span<const double> rewards) {
  double sum = 0;
  for (const double reward : rewards) sum += reward;
  return sum / static_cast<double>(rewards.size());
}

// (r_i - mean) / (std + 1e-6), std over the group's own size (Shao et al. 2024, DeepSeekMath,
// section 4.1.2)
class Grpo : public AdvantageEstimator {
 public:
  std::string Name() const override { return "grpo"; }
  std::vector<float> Estimate(std::span<const double> rewards) const override {
    std::vector<float> advantages(rewards.size(), 0.0f);
    if (AllEqual(rewards)) return advantages;
    const double mean = Mean(rewards);
    double squares = 0;
    for (const double reward : rewards) squares += (reward - mean) * (reward - mean);
    const double scale = std::sqrt(squares / static_cast<double>(rewards.size())) + 1e-6;
    for (size_t i = 0; i < rewards.size(); ++i)
      advantages[i] = static_cast<float>((rewards[i] - mean) / scale);
    return advantages;
  }
};

// r_i - mean: without the division, which weighs groups by how even they are (Liu et al. 2025)
class DrGrpo : public AdvantageEstimator {
 public:
  std::string Name() const override { return "dr_grpo"; }
  std::vector<float> Estimate(std::span<const double> rewards) const override {
    std::vector<float> advantages(rewards.size(), 0.0f);
    if (AllEqual(rewards)) return advantages;
    const double mean = Mean(rewards);
    for (size_t i = 0; i < rewards.size(); ++i)
      advantages[i] = static_cast<float>(rewards[i] - mean);
    return advantages;
  }
};

// r_i - (sum of r_j, j != i) / (G - 1): a baseline that does not know r_i (Ahmadian et al. 2024)
class Rloo : public AdvantageEstimator {
 public:
  std::string Name() const override { return "rloo"; }
  std::vector<float> Estimate(std::span<const double> rewards) const override {
    std::vector<float> advantages(rewards.size(), 0.0f);
    if (AllEqual(rewards)) return advantages;
    double sum = 0;
    for (const double reward : rewards) sum += reward;
    const double others = static_cast<double>(rewards.size() - 1);
    for (size_t i = 0; i < rewards.size(); ++i) {
      advantages[i] = static_cast<float>(rewards[i] - (sum - rewards[i]) / others);
    }
    return advantages;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdvantageEstimator>> CreateAdvantageEstimator(
    const std::string& name) {
  if (name == "grpo") return std::make_unique<Grpo>();
  if (name == "dr_grpo") return std::make_unique<DrGrpo>();
  if (name == "rloo") return std::make_unique<Rloo>();
  return InvalidArgument(
      "no advantage estimator is called \"{}\"; known are \"grpo\", \"dr_grpo\", \"rloo\"", name);
}

}  // namespace ponder
