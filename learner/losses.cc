#include "learner/losses.h"

#include <torch/torch.h>

#include <cmath>

#include "base/check.h"

namespace ponder {
namespace {

// A view, not a copy; Torch takes no const pointers, and nothing here writes.
torch::Tensor View(std::span<const float> values) {
  return torch::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())},
                          torch::kFloat32);
}

// The gradient that backward() has left on a leaf.
std::vector<float> GradientOf(const torch::Tensor& leaf) {
  const torch::Tensor gradient = leaf.grad().contiguous();
  return {gradient.data_ptr<float>(), gradient.data_ptr<float>() + gradient.numel()};
}

// k3: an estimate of KL(p || q) from samples of p, never negative, of low variance.
torch::Tensor K3(const torch::Tensor& logp, const torch::Tensor& logq) {
  const torch::Tensor difference = logq - logp;
  return torch::exp(difference) - difference - 1;
}

// Sums in double: the figure for people should not depend on how tokens were spread over
// micro-batches.
double Sum(const torch::Tensor& values) {
  return values.detach().to(torch::kFloat64).sum().item<double>();
}

}  // namespace

absl::Status CheckPolicyLossSettings(const PolicyLossSettings& settings) {
  if (settings.aggregation != "sequence_mean" && settings.aggregation != "token_mean" &&
      settings.aggregation != "constant")
    return InvalidArgument(
        "loss.aggregation is '{}', expected sequence_mean, token_mean or constant",
        settings.aggregation);
  if (!(settings.clip_low >= 0 && settings.clip_low <= 1))
    return InvalidArgument("loss.clip_low must be in [0, 1], found {}", settings.clip_low);
  if (!(settings.clip_high >= 0))
    return InvalidArgument("loss.clip_high must be at least 0, found {}", settings.clip_high);
  if (!(settings.kl_weight >= 0))
    return InvalidArgument("loss.kl_weight must be at least 0, found {}", settings.kl_weight);
  if (!(settings.importance_cap >= 0))
    return InvalidArgument("loss.importance_cap must be at least 0, found {}",
                           settings.importance_cap);
  return absl::OkStatus();
}

PolicyLossResult PolicyLoss(const PolicyLossSettings& settings, const PolicyTokens& tokens) {
  const size_t count = tokens.logprobs.size();
  const bool has_reference = settings.kl_weight > 0;
  PONDER_CHECK(tokens.behaviour.size() == count && tokens.old.size() == count &&
               tokens.advantages.size() == count && tokens.weights.size() == count &&
               tokens.reference.size() == (has_reference ? count : 0));

  const torch::Tensor logp = View(tokens.logprobs).clone().requires_grad_(true);
  const torch::Tensor behaviour = View(tokens.behaviour);
  const torch::Tensor old = View(tokens.old);
  const torch::Tensor advantage = View(tokens.advantages);
  const torch::Tensor weight = View(tokens.weights);

  const torch::Tensor ratio = torch::exp(logp - old);
  const torch::Tensor clipped = torch::clamp(ratio, 1 - settings.clip_low, 1 + settings.clip_high);
  const torch::Tensor importance =
      settings.importance_cap > 0
          ? torch::clamp_max(torch::exp(old - behaviour), settings.importance_cap)
          : torch::ones_like(old);
  const torch::Tensor policy =
      -weight * importance * torch::min(ratio * advantage, clipped * advantage);
  const torch::Tensor kl =
      has_reference ? weight * K3(logp, View(tokens.reference)) : torch::zeros_like(policy);
  const torch::Tensor loss = (policy + settings.kl_weight * kl).sum();
  loss.backward();

  const torch::NoGradGuard no_grad;
  PolicyLossResult result;
  result.policy = Sum(policy);
  result.kl = Sum(kl);
  result.loss = result.policy + settings.kl_weight * result.kl;
  result.d_logprobs = GradientOf(logp);
  const torch::Tensor low = (ratio < 1 - settings.clip_low) & (advantage < 0);
  const torch::Tensor high = (ratio > 1 + settings.clip_high) & (advantage > 0);
  result.clipped_low = low.sum().item<int64_t>();
  result.clipped_high = high.sum().item<int64_t>();
  const torch::Tensor clips = high.to(torch::kInt8) - low.to(torch::kInt8);
  result.clips.assign(clips.data_ptr<int8_t>(), clips.data_ptr<int8_t>() + count);
  result.ratio_sum = Sum(ratio);
  result.ratio_max = count > 0 ? ratio.max().item<double>() : 0;
  result.behaviour_kl_sum = Sum(K3(behaviour, logp));
  result.importance_sum = Sum(importance);
  return result;
}

SupervisedLossResult SupervisedLoss(std::span<const float> logprobs,
                                    std::span<const float> weights) {
  PONDER_CHECK(logprobs.size() == weights.size());
  const torch::Tensor logp = View(logprobs).clone().requires_grad_(true);
  const torch::Tensor terms = -View(weights) * logp;
  terms.sum().backward();
  return {.loss = Sum(terms), .d_logprobs = GradientOf(logp)};
}

}  // namespace ponder
