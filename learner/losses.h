#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "learner/trainer.h"

namespace ponder {

// INVALID_ARGUMENT naming the setting that is out of range.
absl::Status CheckPolicyLossSettings(const PolicyLossSettings& settings);

// The target tokens of a micro-batch; parallel arrays of N floats.
struct PolicyTokens {
  std::span<const float> logprobs;   // current policy, the one being trained
  std::span<const float> behaviour;  // policy that sampled
  std::span<const float>
      old;  // denominator of the ratio: the behaviour log-probs, or the learner's own from before
            // the step's first update where importance_cap > 0
  std::span<const float> reference;  // empty where kl_weight is 0
  std::span<const float> advantages;
  std::span<const float> weights;  // aggregation; over the whole update they sum to 1 (or less,
                                   // where completions are left out)
};

struct PolicyLossResult {
  double loss = 0;  // policy + kl_weight * kl, this micro-batch's share
  double policy = 0;
  double kl = 0;                  // weighted k3 estimate against the reference
  std::vector<float> d_logprobs;  // [N]

  // [N] where the clip cut the gradient off: -1 below, 1 above, else 0.
  std::vector<int8_t> clips;

  // Sums over tokens, for metrics.
  int64_t clipped_low =
      0;  // ratio below the lower bound, advantage negative: the clip cut the gradient off
  int64_t clipped_high = 0;  // ratio above the upper bound, advantage positive
  double ratio_sum = 0;
  double ratio_max = 0;
  double behaviour_kl_sum =
      0;  // k3 of KL(behaviour || current): how far the policy has moved from the one that sampled
  double importance_sum = 0;  // of the truncated weights; N where importance_cap is 0
};

// The clipped surrogate of PPO (Schulman et al. 2017) with separate bounds (Yu et al. 2025, DAPO,
// "clip-higher"), plus the KL term of GRPO (Shao et al. 2024) with the k3 estimate (Schulman 2020,
// "Approximating KL divergence"), plus truncated importance sampling for samplers of other numerics
// (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training") and
// of older versions (the decoupled objective of Hilton et al. 2022, "Batch size-invariance for
// policy optimization"; Fu et al. 2025, "AReaL"):
//
//   ratio  = exp(logp - old)
//
//   c      = min(exp(old - behaviour), importance_cap), or 1 without a cap
//
//   policy = - w c min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A)
//
//   kl     = w (exp(ref - logp) - (ref - logp) - 1)
//
//   loss   = sum over tokens of policy + kl_weight kl
PolicyLossResult PolicyLoss(const PolicyLossSettings& settings, const PolicyTokens& tokens);

struct SupervisedLossResult {
  double loss = 0;
  std::vector<float> d_logprobs;  // [N]
};

// Negative log-likelihood: the sum over tokens of - w logp.
SupervisedLossResult SupervisedLoss(std::span<const float> logprobs,
                                    std::span<const float> weights);

}  // namespace ponder
