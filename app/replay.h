#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/relearner.h"
#include "app/run_timeline.h"
#include "base/records.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "observe/console.h"
#include "observe/run_reader.h"
#include "observe/run_store.h"
#include "rollout/engine.h"

namespace ponder {

// Where a regenerated completion is not the recorded one.
struct ReplayDifference {
  // The first token that is another one, or that only one of the two has; none where all are equal.
  std::optional<int64_t> token;
  // The first before it, or of all, whose log-prob has other bits, and by how much they differ at
  // most.
  std::optional<int64_t> logprob_token;
  double logprob_max_abs_diff = 0;
  // What else is recorded otherwise behind equal tokens: "finish", "text", or empty.
  std::string field;
};

// Nothing where tokens, bits of log-probs, finish and text are equal.
std::optional<ReplayDifference> CompareCompletions(const Completion& recorded,
                                                   const Completion& found);

struct ReplayedSample {
  StoredCompletion recorded;
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

// Says first what it will take. `on_sample` takes each in the order in which they come, those of
// earlier weights first. CANCELLED where `cancelled` said so. Differences are no errors; DATA_LOSS
// where a sample's record cannot be the run's.
absl::Status ReplaySamples(const ReplayParts& parts, std::vector<StoredCompletion> samples,
                           const std::function<absl::Status(ReplayedSample)>& on_sample);

// `count` different samples of a phase, spread evenly over its steps; all where it has no more.
absl::StatusOr<std::vector<int64_t>> DrawSamples(RunReader& reader, const std::string& phase,
                                                 int64_t count, uint64_t seed);

}  // namespace ponder
