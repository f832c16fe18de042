#include "learner/policy_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ponder {

void PolicySums::Add(const MicroBatch& micro_batch, const PolicyLossResult& result,
                     const Decoder::Scored& scored, int64_t version) {
  tokens_ += static_cast<int64_t>(scored.logprobs.size());
  policy_ += result.policy;
  kl_ += result.kl;
  clipped_low_ += result.clipped_low;
  clipped_high_ += result.clipped_high;
  ratio_ += result.ratio_sum;
  ratio_max_ = std::max(ratio_max_, result.ratio_max);
  behaviour_kl_ += result.behaviour_kl_sum;
  importance_ += result.importance_sum;
  for (const float value : scored.entropies) entropy_ += value;
  for (const int64_t sampled_by : micro_batch.versions) {
    const int64_t staleness = version - sampled_by;
    stale_tokens_ += staleness > 0;
    staleness_ += staleness;
    staleness_max_ = std::max(staleness_max_, staleness);
  }
}

void PolicySums::Compare(const MicroBatch& micro_batch, const std::vector<float>& logprobs,
                         int64_t version) {
  for (size_t i = 0; i < logprobs.size(); ++i) {
    if (micro_batch.versions[i] != version || micro_batch.is_one_version[i] == 0) continue;
    ++exact_tokens_;
    const float behaviour = micro_batch.behaviour[i];
    if (std::bit_cast<uint32_t>(logprobs[i]) == std::bit_cast<uint32_t>(behaviour)) continue;
    const double difference = std::abs(static_cast<double>(logprobs[i]) - behaviour);
    exact_max_difference_ = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                                   : std::max(exact_max_difference_, difference);
  }
}

void PolicySums::Merge(const PolicySums& other) {
  tokens_ += other.tokens_;
  policy_ += other.policy_;
  kl_ += other.kl_;
  clipped_low_ += other.clipped_low_;
  clipped_high_ += other.clipped_high_;
  ratio_ += other.ratio_;
  ratio_max_ = std::max(ratio_max_, other.ratio_max_);
  behaviour_kl_ += other.behaviour_kl_;
  importance_ += other.importance_;
  entropy_ += other.entropy_;
  stale_tokens_ += other.stale_tokens_;
  staleness_ += other.staleness_;
  staleness_max_ = std::max(staleness_max_, other.staleness_max_);
  exact_tokens_ += other.exact_tokens_;
  exact_max_difference_ = std::max(exact_max_difference_, other.exact_max_difference_);
}

void PolicySums::Report(const PolicyLossSettings& settings, int64_t updates,
                        std::map<std::string, double>& metrics) const {
  const double per_update = 1.0 / static_cast<double>(std::max<int64_t>(updates, 1));
  const double per_token = 1.0 / static_cast<double>(std::max<int64_t>(tokens_, 1));
  metrics["loss/policy"] = policy_ * per_update;
  metrics["loss/total"] = (policy_ + settings.kl_weight * kl_) * per_update;
  if (settings.kl_weight > 0) metrics["policy/kl"] = kl_ * per_update;
  metrics["policy/behaviour_kl"] = behaviour_kl_ * per_token;
  metrics["policy/clip_low"] = static_cast<double>(clipped_low_) * per_token;
  metrics["policy/clip_high"] = static_cast<double>(clipped_high_) * per_token;
  metrics["policy/ratio_mean"] = tokens_ > 0 ? ratio_ * per_token : 1;
  metrics["policy/ratio_max"] = tokens_ > 0 ? ratio_max_ : 1;
  metrics["policy/entropy"] = entropy_ * per_token;
  if (settings.importance_cap > 0) metrics["policy/importance_mean"] = importance_ * per_token;
  metrics["staleness/mean"] = static_cast<double>(staleness_) * per_token;
  metrics["staleness/max"] = static_cast<double>(staleness_max_);
  metrics["staleness/stale_tokens"] = static_cast<double>(stale_tokens_) * per_token;
  metrics["exactness/logprob_max_abs_diff"] = exact_max_difference_;
  metrics["exactness/tokens"] = static_cast<double>(exact_tokens_);
}

void ReportPacking(std::span<const Packing> shares, std::map<std::string, double>& metrics) {
  metrics["learner/completions"] += static_cast<double>(shares.front().completions);
  metrics["learner/completions_left_out"] +=
      static_cast<double>(shares.front().left_out_completions);
  metrics["learner/target_tokens"] += static_cast<double>(shares.front().all_target_tokens);
  for (const Packing& share : shares) {
    metrics["learner/rows"] += static_cast<double>(share.rows);
    metrics["learner/micro_batches"] += static_cast<double>(share.micro_batches.size());
  }
}

}  // namespace ponder
