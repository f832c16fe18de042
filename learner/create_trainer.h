#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "learner/trainer.h"

namespace ponder {

// The trainer itself, for what links the learner directly (its shared library, tests); programs
// load it through learner/library.h. A rank on each device, the first of them rank 0.
// FAILED_PRECONDITION where their backends compute other bits.
absl::StatusOr<std::unique_ptr<Trainer>> CreateLocalTrainer(std::span<const TrainerDevice> devices,
                                                            const TrainerOptions& options);
inline absl::StatusOr<std::unique_ptr<Trainer>> CreateLocalTrainer(kernels::Backend& backend,
                                                                   const TrainerOptions& options) {
  return CreateLocalTrainer(std::vector{TrainerDevice{&backend}}, options);
}

}  // namespace ponder
