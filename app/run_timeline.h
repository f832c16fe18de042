#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/run_directory.h"
#include "base/status.h"
#include "observe/run_reader.h"

namespace ponder {

// A point on the way of a run's weights. With U updates in the cold start: 0 is the base model,
// 1 ... U are behind an update of the cold start, U + 1 is "step 0", where the steps begin (with
// the weights of point U), U + 1 + k is behind step k.
using RunPoint = int64_t;

struct RunTimeline {
  int64_t supervised = 0;         // U
  std::vector<int64_t> versions;  // policy version behind step k, from k = 0 on

  RunPoint OfStep(int64_t step) const { return supervised + 1 + step; }
  // An empty phase is the base model.
  RunPoint Of(const CheckpointName& name) const;
  // Of a checkpoint at `point`, which is not the base model.
  CheckpointName NameOf(RunPoint point) const;
  // The first point, from step 0 on, whose weights are this version; none where no step left it.
  std::optional<RunPoint> OfVersion(int64_t version) const;
  RunPoint Last() const { return OfStep(static_cast<int64_t>(versions.size()) - 1); }
};

// DATA_LOSS where a step is missing.
absl::StatusOr<RunTimeline> ReadTimeline(RunReader& reader);

// A stretch of a run's way that is gone again: from the base model, from a checkpoint at `begin` or
// on from where the trainer is, up to `end`.
struct RunLeg {
  enum class From { kBase, kCheckpoint, kHere };
  From from = From::kBase;
  RunPoint begin = 0;
  RunPoint end = 0;

  bool operator==(const RunLeg&) const = default;
};

// The fewest updates that lead past all of `wanted` (ascending) with the trainer at `here`, or
// nowhere yet. `checkpoints`, ascending, are those that may be loaded.
std::vector<RunLeg> PlanLegs(std::optional<RunPoint> here, const std::vector<RunPoint>& wanted,
                             const std::vector<RunPoint>& checkpoints);

// "learning steps 11 to 23 again from checkpoint step-000010"
std::string Describe(const RunLeg& leg, const RunTimeline& timeline);

}  // namespace ponder
