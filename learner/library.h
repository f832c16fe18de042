#pragma once

#include <memory>

#include "base/status.h"
#include "learner/trainer.h"

namespace ponder {

// Loads libponder_learner.so (beside the program) on first use and makes a trainer with it, so that
// commands which do not train never load LibTorch. `backend` outlives the trainer. The library
// stays loaded.
absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainer(kernels::Backend& backend,
                                                       const TrainerOptions& options);

}  // namespace ponder
