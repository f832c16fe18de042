#pragma once

#include <cstdint>
#include <vector>

#include "app/config.h"
#include "app/run_journal.h"
#include "app/train_parts.h"
#include "base/status.h"
#include "learner/trainer.h"

namespace ponder {

// Supervised fine-tuning, from the update behind `done` on (0: from the begin). Leaves a row an
// update, and checkpoints: each run.checkpoint_every updates, behind the last one and where it was
// cancelled. False where it was cancelled with something left to do.
absl::StatusOr<bool> RunColdStart(const RunConfig& config, const TrainParts& parts,
                                  RunJournal& journal, const std::vector<SftExample>& examples,
                                  int64_t done);

}  // namespace ponder
