#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/relearner.h"
#include "app/replay_difference.h"
#include "app/run_timeline.h"
#include "base/records.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "observe/console.h"
#include "observe/run_store.h"
#include "rollout/engine.h"

namespace ponder {

struct ReplayedSample {
  StoredCompletion recorded;
  // Why it cannot be regenerated; the rest is empty then.
  std::string impossible;
  const RunConfig* settings = nullptr;  // under which it was sampled; the relearner's
  Completion found;
  std::optional<ReplayDifference> difference;
  std::string likely_cause;  // of the difference, where one is known
};

// Regenerates completions of a run: makes the weights again that sampled them and generates with
// the engine of this process. A completion over which weights changed is generated up to the
// recorded place, the updates are made, and it goes on behind the keys and values it has, as the
// run's did.
struct ReplayParts {
  Relearner* relearner = nullptr;
  const RunTimeline* timeline = nullptr;
  kernels::Backend* backend = nullptr;
  const Tokenizer* tokenizer = nullptr;
  Console* console = nullptr;
  std::vector<CheckpointName> checkpoints;
  // How a configuration's completions are sampled; the temperature is the sample's own.
  std::function<absl::StatusOr<SamplingParams>(const RunConfig&)> sampling;
  std::function<double(RunPoint)> learn_s;  // that the run took for the update behind a point
  // Why differences are to be expected, if they are: of everything, or of some workers' samples.
  std::string other_numerics, other_workers;
  std::function<bool()> cancelled;
};

// Says first what it will take. `on_sample` takes each as it comes: those that cannot be
// regenerated, then those of earlier weights first. Differences are no errors. Returns the first
// update that came out otherwise than the run's, in words; empty: none. CANCELLED where `cancelled`
// said so.
absl::StatusOr<std::string> ReplaySamples(
    const ReplayParts& parts, std::vector<StoredCompletion> samples,
    const std::function<absl::Status(ReplayedSample)>& on_sample);

}  // namespace ponder
