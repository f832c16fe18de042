#pragma once

#include <memory>
#include <span>

#include "base/status.h"
#include "kernels/backend.h"
#include "learner/trainer.h"

namespace ponder {

// The one symbol that libponder_learner.so exports. The program and the library come from the same
// build, so C++ types may pass; kLearnerInterface is counted up with every change of these types
// and refuses a library left over from another build.
inline constexpr char kLearnerEntryName[] = "PonderLearnerCreateTrainer";
inline constexpr char kLearnerFileName[] = "libponder_learner.so";
inline constexpr int kLearnerInterface = 3;

using TrainerOr = absl::StatusOr<std::unique_ptr<Trainer>>;
using LearnerEntry = void (*)(int interface, const std::span<const TrainerDevice>* devices,
                              const TrainerOptions* options, TrainerOr* result);

}  // namespace ponder
