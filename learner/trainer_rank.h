#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "learner/optimizer.h"
#include "learner/packing.h"
#include "learner/policy_sums.h"
#include "learner/trainer.h"
#include "learner/trainer_state.h"
#include "model/activations.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace ponder {

// What the updates of one step share, of one rank.
struct PolicyStep {
  PolicyLossSettings loss;
  int64_t start_version = 0;
  std::span<const ScoredGroup> groups;  // all of the step
  PolicySums sums;
  decltype(UpdateReport::clips) clips;
};

// Sums over the target tokens of supervised fine-tuning.
struct SupervisedSums {
  double loss = 0;
  double entropy = 0;
};

// A trainer's part on one device: weights, optimizer, and the gradients of the micro-batches that
// it is given. What to do with them is the trainer's to decide, for all ranks alike.
class TrainerRank {
 public:
  static absl::StatusOr<std::unique_ptr<TrainerRank>> Create(const TrainerDevice& device,
                                                             const TrainerOptions& options);

  const Weights& GetWeights() const { return *weights_; }
  Optimizer& GetOptimizer() { return *optimizer_; }
  const Optimizer& GetOptimizer() const { return *optimizer_; }
  const Weights* Reference() const { return reference_.get(); }  // null: none
  PackingLimits Limits() const;

  // Log-probs of a packing's targets, micro-batch by micro-batch, with the weights as they are;
  // compares them with the sampler's.
  absl::StatusOr<std::vector<std::vector<float>>> ScoreTargets(const Packing& packing,
                                                               PolicyStep& step);

  // Add the gradients of an update; the text says what is not finite, or is empty. `groups` are
  // those that `packing` was made of. `old_logprobs`, one array a micro-batch, is empty where the
  // log-probs of before the step's first update are those computed here.
  absl::StatusOr<std::string> AccumulatePolicy(const Packing& packing,
                                               std::span<const ScoredGroup> groups,
                                               const std::vector<std::vector<float>>& old_logprobs,
                                               PolicyStep& step);
  absl::StatusOr<std::string> AccumulateSupervised(const Packing& packing, SupervisedSums& sums);

  // Puts the sum of all ranks' gradients in the place of this one's; returns its norm.
  absl::StatusOr<double> ReduceGradients();

  absl::Status SetReferenceFromCurrent();
  absl::Status Load(const std::string& directory, TrainerCounters& counters);

 private:
  TrainerRank(const TrainerDevice& device, const TrainerOptions& options)
      : backend_(device.backend),
        collective_(device.collective),
        place_(device.place),
        options_(options) {}
  absl::Status Init();
  std::pair<kernels::DeviceSpan, kernels::DeviceSpan> DividePlace(const ModelConfig& config) const;
  absl::StatusOr<Decoder::Scored> Score(Decoder& decoder, const MicroBatch& micro_batch,
                                        const void* hidden);
  absl::StatusOr<std::vector<float>> LogProbsOf(Decoder& decoder, const MicroBatch& micro_batch);
  absl::Status Backward(const MicroBatch& micro_batch, const void* hidden,
                        const Decoder::Scored& scored, const std::vector<float>& d_logprobs);
  std::string NameBadLoss(const MicroBatch& micro_batch, std::span<const ScoredGroup> groups,
                          const Decoder::Scored& scored) const;

  kernels::Backend* backend_;
  kernels::Collective* collective_;  // null: the only rank
  const kernels::DeviceSpan place_;
  TrainerOptions options_;

  std::unique_ptr<Weights> weights_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Activations> activations_;
  std::unique_ptr<Weights> reference_;  // null: none
  std::unique_ptr<Decoder> reference_decoder_;

  // Inputs of the head's backward: every row of the batch, those that are no target rows with a
  // gradient of 0.
  kernels::DeviceBuffer row_targets_, row_inverse_temperatures_, row_logsumexps_,
      row_d_logprobs_;              // [micro_batch_tokens]
  kernels::DeviceBuffer d_hidden_;  // [micro_batch_tokens, D]
};

}  // namespace ponder
