#include "learner/library_entry.h"

#include "learner/create_trainer.h"

extern "C" __attribute__((visibility("default"))) void PonderLearnerCreateTrainer(
    int interface, const std::span<const ponder::TrainerDevice>* devices,
    const ponder::TrainerOptions* options, ponder::TrainerOr* result) {
  if (interface != ponder::kLearnerInterface) {
    *result = ponder::FailedPrecondition(
        "the learner library has interface {}, the program {}; they are of different builds",
        ponder::kLearnerInterface, interface);
    return;
  }
  *result = ponder::CreateLocalTrainer(*devices, *options);
}
