#pragma once

#include <memory>

#include "base/status.h"
#include "kernels/backend.h"
#include "learner/trainer.h"

namespace ponder {

// The trainer itself, for what links the learner directly (its shared library, tests); programs
// load it through learner/library.h. `backend` outlives the trainer.
absl::StatusOr<std::unique_ptr<Trainer>> CreateLocalTrainer(kernels::Backend& backend,
                                                            const TrainerOptions& options);

}  // namespace ponder
