#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/host_buffer.h"
#include "learner/trainer.h"
#include "model/weights.h"

namespace ponder {

// INVALID_ARGUMENT naming the setting that is out of range.
absl::Status CheckOptimizerSettings(const OptimizerSettings& settings);

// Of update 0, 1, ...: linear warm-up (update u < warmup_updates gets (u + 1) / warmup_updates of
// the rate), then the schedule over what remains until total_updates, where it is 0.
double LearningRate(const OptimizerSettings& settings, int64_t update);

struct OptimizerOptions {
  Moments moments = Moments::kF32;
  bool offload = false;  // all but the gradients in the host's memory, of a GPU
};

// Master weights, gradients and moments, flat in the layout's order: floats, or moments of 8 bits
// whose blocks begin anew with each parameter. AdamW writes the working weights as it goes. All
// working values, vectors too, are those that a checkpoint of the working type stores: what was
// sampled with them can be sampled again from the checkpoint. Offloaded arrays are read and written
// by the GPU where they lie, in both directions of the bus at once; the bits are the same. Not
// thread-safe.
class Optimizer {
 public:
  // `backend` and `weights` outlive it; both start from `flat` [layout.count]. RESOURCE_EXHAUSTED
  // where memory cannot be had, INVALID_ARGUMENT where there is no GPU to offload from.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(kernels::Backend& backend,
                                                           Weights& weights,
                                                           std::vector<float> flat,
                                                           const OptimizerOptions& options = {});

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
  enum class State {
    kMaster,       // floats
    kFirstMoment,  // floats, as the second ones
    kSecondMoment,
    kFirstCodes,  // 8 bits an element
    kSecondCodes,
    kFirstScales,  // a float a block
    kSecondScales,
  };
  static constexpr size_t kStates = 7;
  // 0 where there is no such array.
  int64_t Bytes(State state) const { return states_[static_cast<size_t>(state)].bytes; }
  void CopyOut(State state, int64_t begin, int64_t bytes, void* host) const;
  void CopyIn(State state, int64_t begin, int64_t bytes, const void* host);
  // The master weights.
  std::vector<float> Flat() const;
  // After every master weight was copied in: makes the working weights from them.
  void RestoreWorking();
  void SetUpdates(int64_t updates) { updates_ = updates; }

 private:
  Optimizer(kernels::Backend& backend, Weights& weights)
      : backend_(&backend), weights_(&weights), count_(weights.Layout().count) {}
  absl::Status Allocate(const OptimizerOptions& options);
  void StepParameter(size_t index, const OptimizerSettings& settings, float learning_rate,
                     float gradient_scale);
  void SetWorking(std::vector<float> flat);
  std::string FirstBad(const float* values) const;

  template <typename T>
  T* Array(State state) const {
    return static_cast<T*>(states_[static_cast<size_t>(state)].data);
  }

  kernels::Backend* backend_;
  Weights* weights_;
  int64_t count_;  // P
  int64_t updates_ = 0;
  kernels::DeviceBuffer gradients_;  // [P]
  std::array<kernels::DeviceSpan, kStates> states_;
  bool is_host_memory_ = true;  // of the states, which one of these has
  std::vector<kernels::DeviceBuffer> device_;
  std::vector<kernels::HostBuffer> host_;
  std::vector<int64_t> first_blocks_;  // of each parameter; empty: no codes
};

// Bytes of the moments of both kinds.
int64_t MomentBytes(const ParameterLayout& layout, Moments moments);

}  // namespace ponder
