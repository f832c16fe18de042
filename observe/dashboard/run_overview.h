#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/dashboard/run_list.h"
#include "observe/run_reader.h"

namespace ponder {

// A run at a glance.
struct RunOverview {
  std::string status;           // as RunStatus has it
  std::string text;             // the same and what it does, in words; where it cannot be read, why
  RunState state;               // its `steps` are the configuration's where the store has none
  int64_t last_step = 0;        // of training
  std::vector<double> rewards;  // at most kMostRewards, each a mean over neighbouring steps
  // NaN: none.
  double last_reward = std::numeric_limits<double>::quiet_NaN();
  std::string model;
  std::string started_at;  // UTC; empty: not known
  std::string written_at;
  uint64_t store_bytes = 0;

  static constexpr size_t kMostRewards = 60;
};

// What the reader says now, without rewards, model and times.
absl::StatusOr<RunOverview> ReadRunState(const ServedRun& run, RunReader& reader);

// Everything.
absl::StatusOr<RunOverview> ReadRunOverview(RunList& runs, const ServedRun& run);

// What there is to say of a run that cannot be read; `text` is why.
RunOverview UnreadRun(const ServedRun& run, const absl::Status& why);

}  // namespace ponder
