#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "observe/console.h"
#include "observe/run_store.h"
#include "rollout/group_source.h"

namespace ponder {

// Keeps the store's state, workers and events current while a run goes on, for whoever watches from
// outside. Thread-safe where the store is (CreateBackgroundStore). Errors of the store come with
// the next step that is written.
class RunMonitor {
 public:
  // Progress and workers are written no more often.
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  // All outlive it.
  RunMonitor(RunStore& store, Console& console, Clock& clock)
      : store_(store), console_(console), clock_(clock) {}

  // What the run does from now on; `detail` is for people.
  void Begin(const std::string& activity, int64_t step, int64_t steps,
             const std::string& detail = "");
  // How far it is; done == total is always written.
  void Progress(int64_t done, int64_t total);
  // Seconds until the run's end, as estimated from its steps.
  void SetTimeLeft(double seconds);
  // Those that generate now; whoever is not among them any more has left.
  void SeeWorkers(const std::vector<WorkerLoad>& workers);
  // Something that happened, on the console and as an event of the step under way.
  void Note(const std::string& kind, const std::string& message);
  void Warn(const std::string& kind, const std::string& message);

 private:
  void WriteState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteEvent(const std::string& kind, const std::string& message);

  RunStore& store_;
  Console& console_;
  Clock& clock_;
  absl::Mutex mutex_;
  RunState state_ ABSL_GUARDED_BY(mutex_);
  absl::Time state_written_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time workers_written_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::map<std::string, WorkerRecord> workers_ ABSL_GUARDED_BY(mutex_);  // by name, that are here
};

}  // namespace ponder
