#include "learner/library.h"

#include <string>

#include "base/companion_library.h"
#include "learner/library_entry.h"

namespace ponder {
namespace {

CompanionLibrary Learner() {
  return {.file = kLearnerFileName,
          .entry = kLearnerEntryName,
          .remedy = "build the target ponder_learner"};
}

}  // namespace

absl::StatusOr<std::string> FindLearnerLibrary() { return FindCompanion(Learner()); }

absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainer(std::span<const TrainerDevice> devices,
                                                       const TrainerOptions& options) {
  PONDER_ASSIGN_OR_RETURN(void* const entry, LoadCompanionEntry(Learner()));
  TrainerOr result = Internal("the learner library gave no answer");
  reinterpret_cast<LearnerEntry>(entry)(kLearnerInterface, &devices, &options, &result);
  return result;
}

}  // namespace ponder
