#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/dashboard/run_list.h"
#include "observe/run_reader.h"

namespace ponder {

// A run at a glance.
struct RunOverview {
  std::string status;           // "running", "finished", "stopped"
  std::string text;             // the same and what it does, in words; where it cannot be read, why
  RunState state;               // its `steps` are the configuration's where the store has none
  int64_t last_step = 0;        // of training
  std::vector<double> rewards;  // at most kMostRewards, each a mean over neighbouring steps
  double last_reward = 0;       // NaN: none
  std::string model;
  std::string started_at;  // UTC; empty: not known
  std::string written_at;
  uint64_t store_bytes = 0;

  static constexpr size_t kMostRewards = 60;
};

// What the reader says now, without rewards, model and times.
absl::StatusOr<RunOverview> ReadRunState(const ServedRun& run, RunReader& reader);

// Overviews of many runs, each read again only when its store has changed. Thread-safe.
class RunOverviews {
 public:
  RunOverview Get(RunList& runs, const ServedRun& run);

 private:
  struct Entry {
    std::string mark;  // of the store's files and its lock
    RunOverview overview;
  };
  absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by path
};

}  // namespace ponder
