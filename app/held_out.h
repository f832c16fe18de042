#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "app/config.h"
#include "app/train_parts.h"
#include "base/status.h"
#include "observe/run_store.h"

namespace ponder {

// The held-out tasks answered by the published policy, greedily and sampled (as [eval] has it),
// with the accuracies and all completions as a record of `phase` at `step`; says the result under
// `label`. Nothing where it was cancelled.
absl::StatusOr<std::optional<StepRecord>> EvaluateHeldOut(const RunConfig& config,
                                                          const TrainParts& parts,
                                                          const std::string& phase, int64_t step,
                                                          const std::string& label);

}  // namespace ponder
