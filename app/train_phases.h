#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/run_directory.h"
#include "base/status.h"
#include "learner/trainer.h"

namespace ponder {

// What a run does with its trainer beside the updates themselves, and which examples an update of
// the cold start learns. The loop and whoever learns its steps again call the same functions in the
// same order, so the weights come out the same to the last bit.

// Optimizer updates of the cold start on so many examples.
int64_t SupervisedUpdates(const RunConfig& config, int64_t examples);
// Examples of update `update`, from 1.
std::vector<SftExample> SupervisedBatch(const RunConfig& config,
                                        const std::vector<SftExample>& examples, int64_t update);

// Before the first update of the cold start.
absl::Status BeginSupervised(const RunConfig& config, int64_t updates, Trainer& trainer);
// Before the first step.
absl::Status BeginReinforcement(const RunConfig& config, Trainer& trainer);
// Before the update of `step`: a new reference for the KL term, where one is due.
absl::Status RenewReference(const RunConfig& config, int64_t step, Trainer& trainer);

// The state behind `name`, whose checkpoint is in `path`; `updates` of the cold start. What
// Trainer::LoadCheckpoint says where it cannot be used.
absl::Status LoadRunCheckpoint(const RunConfig& config, const CheckpointName& name,
                               const std::string& path, int64_t updates, Trainer& trainer);

}  // namespace ponder
