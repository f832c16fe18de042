#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "learner/trainer.h"
#include "model/weights.h"

namespace ponder {

// INVALID_ARGUMENT naming the setting that is out of range.
absl::Status CheckOptimizerSettings(const OptimizerSettings& settings);

// Of update 0, 1, ...: linear warm-up (update u < warmup_updates gets (u + 1) / warmup_updates of
// the rate), then the schedule over what remains until total_updates, where it is 0.
double LearningRate(const OptimizerSettings& settings, int64_t update);

// Master weights, gradients and moments, flat fp32 in the layout's order, in the backend's memory;
// AdamW writes the working weights as it goes. All working values, vectors too, are those that a
// checkpoint of the working type stores: what was sampled with them can be sampled again from the
// checkpoint. Not thread-safe.
class Optimizer {
 public:
  // `backend` and `weights` outlive it; both start from `flat` [layout.count]. RESOURCE_EXHAUSTED
  // where memory cannot be had.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(kernels::Backend& backend,
                                                           Weights& weights,
                                                           std::vector<float> flat);

  float* Gradients() { return gradients_.As<float>(); }
  void ZeroGradients();

  // Norm of all gradients together; not finite where one of them is not.
  double GradientNorm() const;

  // The Hugging Face name of the first tensor with an element that is not finite; empty where there
  // is none.
  std::string FirstBadGradient() const;
  std::string FirstBadWeight() const;

  // One AdamW update with the accumulated gradients times `gradient_scale`. Weight decay spares
  // vectors (norms, biases). Counts the weights' version up by one.
  void Step(const OptimizerSettings& settings, double learning_rate, double gradient_scale);

  // Moments and step count back to the start.
  void Reset();

  // Updates since the last Reset.
  int64_t Updates() const { return updates_; }

  // ---- for checkpoints ----
  enum class State { kMaster, kFirstMoment, kSecondMoment };
  int64_t Count() const { return count_; }
  void CopyOut(State state, int64_t begin, int64_t count, float* host) const;
  void CopyIn(State state, int64_t begin, int64_t count, const float* host);
  // After every master weight was copied in: makes the working weights from them.
  void RestoreWorking();
  void SetUpdates(int64_t updates) { updates_ = updates; }

 private:
  Optimizer(kernels::Backend& backend, Weights& weights)
      : backend_(&backend), weights_(&weights), count_(weights.Layout().count) {}
  float* Array(State state) const;
  void SetWorking(std::vector<float> flat);
  std::string FirstBad(const float* values) const;

  kernels::Backend* backend_;
  Weights* weights_;
  int64_t count_;  // P
  int64_t updates_ = 0;
  kernels::DeviceBuffer master_, gradients_, first_moment_, second_moment_;  // [P] each
};

}  // namespace ponder
