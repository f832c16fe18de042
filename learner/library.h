#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "learner/trainer.h"

namespace ponder {

// Where libponder_learner.so lies; NOT_FOUND says where it was expected.
absl::StatusOr<std::string> FindLearnerLibrary();

// Loads libponder_learner.so (beside the program) on first use and makes a trainer with it, so that
// commands which do not train never load LibTorch. `backend` outlives the trainer. The library
// stays loaded.
absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainer(kernels::Backend& backend,
                                                       const TrainerOptions& options);

}  // namespace ponder
