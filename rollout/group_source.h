#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "rollout/engine.h"

namespace ponder {

// A prompt whose G completions are wanted.
struct GroupRequest {
  Task task;
  std::string prompt;
  std::vector<int32_t> prompt_ids;
  uint64_t seed = 0;
  int64_t completions = 0;  // G
  SamplingParams sampling;
};

// Groups that are begun and ended together: those of a step, or of an evaluation.
struct GroupBatch {
  std::vector<GroupRequest> requests;
  // The policy version that stands published. No token is of an older one; later ones are of newer
  // versions where weights are published while the batch is under way.
  int64_t version = 0;
  // Called with each group as soon as it is whole, in any order, from any thread, one call at a
  // time. Must not call the source; not called any more once End has returned.
  std::function<void(size_t index, Group group)> on_group;
};

struct BatchProgress {
  int64_t done = 0;
  int64_t total = 0;  // completions

  bool Whole() const { return done == total; }
};

struct GenerateStats {
  int64_t completion_tokens = 0;
  int64_t prompt_tokens = 0;         // each prompt once
  int64_t workers = 0;               // that gave something
  int64_t reissued_leases = 0;       // given to another worker after one was lost
  int64_t ignored_results = 0;       // came too late or twice
  bool fingerprints_differ = false;  // some worker's numerics are not the learner's
};

// One that generates, as last heard of.
struct WorkerLoad {
  std::string name;         // for people; unique
  std::string address;      // empty: this process
  std::string fingerprint;  // of its numerics
  int64_t version = 0;      // policy version of its weights
  int64_t running = 0;      // completions given to it and not come back
  int64_t capacity = 0;     // completions at once
  int64_t done = 0;         // completions that were taken from it
};

// Where groups are generated: in this process, or by workers on other machines. Same results either
// way. Several batches may be under way: what is begun first comes first, and a later one takes the
// places that an earlier one leaves free. All calls from one thread, but for Wake.
class GroupSource {
 public:
  using BatchId = uint64_t;

  virtual ~GroupSource() = default;

  // Does not wait. FAILED_PRECONDITION where another version than the batch's is published.
  virtual absl::StatusOr<BatchId> Begin(GroupBatch batch) = 0;
  // Works at what is under way for a moment: a step of the engine in this process, a look at what
  // workers have sent. False where every batch is whole. After an error the batches go no further
  // and must be ended.
  virtual absl::StatusOr<bool> Work() = 0;
  // A Work that only waits returns at once. From any thread.
  virtual void Wake() = 0;
  virtual BatchProgress Progress(BatchId batch) const = 0;
  // Forgets a batch, withdrawing what is not finished of it.
  virtual absl::StatusOr<GenerateStats> End(BatchId batch) = 0;

  // Those that are there now.
  virtual std::vector<WorkerLoad> Workers() const = 0;

  // New weights stand in place (in process) or are announced to workers. Completions under way go
  // on with them.
  virtual absl::Status PublishWeights(int64_t version) = 0;

  // A batch from begin to end, beside whatever else is under way. `on_progress` is called with
  // completions done; CANCELLED where `cancelled` returned true.
  absl::StatusOr<GenerateStats> Generate(
      std::vector<GroupRequest> requests, int64_t version,
      std::function<void(size_t index, Group group)> on_group,
      const std::function<void(int64_t done, int64_t total)>& on_progress,
      const std::function<bool()>& cancelled);
};

// Runs an engine of this process; groups come from the thread that calls Work. `engine` outlives
// it.
std::unique_ptr<GroupSource> CreateLocalGroupSource(RolloutEngine& engine);

}  // namespace ponder
