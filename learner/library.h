#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "learner/trainer.h"

namespace ponder {

// Where libponder_learner.so lies; NOT_FOUND says where it was expected.
absl::StatusOr<std::string> FindLearnerLibrary();

// Loads libponder_learner.so (beside the program) on first use and makes a trainer with it, so that
// commands which do not train never load LibTorch. A rank on each device, the first of them rank 0;
// FAILED_PRECONDITION where their backends compute other bits. The library stays loaded.
absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainer(std::span<const TrainerDevice> devices,
                                                       const TrainerOptions& options);
inline absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainer(kernels::Backend& backend,
                                                              const TrainerOptions& options) {
  return CreateTrainer(std::vector{TrainerDevice{&backend}}, options);
}

}  // namespace ponder
