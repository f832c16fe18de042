#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "learner/losses.h"
#include "learner/packing.h"
#include "learner/trainer.h"
#include "model/decoder.h"

namespace ponder {

// What a step adds up over its micro-batches, for its metrics.
class PolicySums {
 public:
  // `version` is the policy's at the start of the step.
  void Add(const MicroBatch& micro_batch, const PolicyLossResult& result,
           const Decoder::Scored& scored, int64_t version);

  // The learner's log-probs beside the sampler's, bit by bit, for the tokens that `version`
  // sampled in completions that it alone had sampled up to there.
  void Compare(const MicroBatch& micro_batch, const std::vector<float>& logprobs, int64_t version);

  // Adds what another rank has added up.
  void Merge(const PolicySums& other);

  // Losses are means over `updates`, the rest over target tokens.
  void Report(const PolicyLossSettings& settings, int64_t updates,
              std::map<std::string, double>& metrics) const;

 private:
  int64_t tokens_ = 0;
  double policy_ = 0;
  double kl_ = 0;
  int64_t clipped_low_ = 0;
  int64_t clipped_high_ = 0;
  double ratio_ = 0;
  double ratio_max_ = 0;
  double behaviour_kl_ = 0;
  double importance_ = 0;
  double entropy_ = 0;
  int64_t stale_tokens_ = 0;  // of older versions
  int64_t staleness_ = 0;
  int64_t staleness_max_ = 0;
  int64_t exact_tokens_ = 0;
  double exact_max_difference_ = 0;
};

// Adds up how much the packings of an update hold, one a rank, and what they left out.
void ReportPacking(std::span<const Packing> shares, std::map<std::string, double>& metrics);

}  // namespace ponder
