#pragma once

#include <cstdint>

#include "app/config.h"
#include "app/run_directory.h"
#include "app/train_parts.h"
#include "base/status.h"
#include "observe/run_store.h"

namespace ponder {

// Where a run leaves what it makes: rows of the store, points of the curves, checkpoints.
class RunJournal {
 public:
  // Both outlive it.
  RunJournal(const RunConfig& config, const TrainParts& parts) : config_(config), parts_(parts) {}

  // A step, an update of the cold start or an evaluation.
  absl::Status Record(StepRecord record);

  // What the trainer has learnt so far, behind `name`, once everything before is in the store.
  // Removes checkpoints that are too many.
  absl::Status Checkpoint(const CheckpointName& name);

 private:
  const RunConfig& config_;
  const TrainParts& parts_;
};

}  // namespace ponder
