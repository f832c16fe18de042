#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "kernels/backend.h"
#include "learner/optimizer.h"
#include "model/weights.h"

namespace ponder {

// Everything that a trainer's next step depends on, but for the settings.
struct TrainerState {
  const Weights& weights;
  const Optimizer& optimizer;
  const Weights* reference = nullptr;  // null: none
  int64_t bad_updates_in_row = 0;
};

// Writes `directory` (see Trainer::SaveCheckpoint); tokenizer files come from `model_directory`.
absl::Status SaveTrainer(const TrainerState& state, const std::string& model_directory,
                         const std::string& directory);

struct TrainerCounters {
  int64_t bad_updates_in_row = 0;
};

// Puts what SaveTrainer wrote into `weights` and `optimizer`, and makes `reference` anew (null
// where none was saved). Nothing is changed unless the whole file is sound and of the same model.
absl::Status LoadTrainer(const std::string& directory, kernels::Backend& backend, Weights& weights,
                         Optimizer& optimizer, std::unique_ptr<Weights>& reference,
                         TrainerCounters& counters);

// Weights of the same shape and kind as `weights`, zeroed: for a reference policy.
absl::StatusOr<std::unique_ptr<Weights>> MakeReference(kernels::Backend& backend,
                                                       const Weights& weights);

}  // namespace ponder
