#pragma once

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

struct GenerateStats {
  int64_t completion_tokens = 0;
  int64_t prompt_tokens = 0;  // each prompt once
  double seconds = 0;
  int64_t workers = 0;               // that gave something
  int64_t reissued_leases = 0;       // given to another worker after one was lost
  int64_t ignored_results = 0;       // came too late or twice
  bool fingerprints_differ = false;  // some worker's numerics are not the learner's
};

// Where a step's groups are generated: in this process, or by workers on other machines. Same
// results either way.
class GroupSource {
 public:
  virtual ~GroupSource() = default;

  // Generates all groups with policy `version` and calls `on_group` with each as soon as it is
  // whole (any order, from the calling thread), `on_progress` with completions done. Ends when all
  // are there, or when `cancelled` returns true (CANCELLED).
  virtual absl::StatusOr<GenerateStats> Generate(
      const std::vector<GroupRequest>& requests, int64_t version,
      const std::function<void(size_t index, Group group)>& on_group,
      const std::function<void(int64_t done, int64_t total)>& on_progress,
      const std::function<bool()>& cancelled) = 0;

  // New weights stand in place (in process) or are announced to workers.
  virtual absl::Status PublishWeights(int64_t version) = 0;
};

// Runs an engine of this process. `engine` outlives it.
std::unique_ptr<GroupSource> CreateLocalGroupSource(RolloutEngine& engine);

}  // namespace ponder
