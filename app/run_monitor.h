#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"
#include "observe/console.h"
#include "observe/run_store.h"
#include "rollout/group_source.h"

namespace ponder {

// Keeps the store's state, workers and events current while a run goes on, for whoever watches from
// outside. Thread-safe where the store is (CreateBackgroundStore), but for Begin, Progress and what
// is about groups: those are for the thread that may ask the groups' source. Errors of the store
// come with the next step that is written.
class RunMonitor {
 public:
  // Progress and workers that only go on are written no more often.
  static constexpr absl::Duration kInterval = absl::Seconds(1);
  // Of each text of a worker: others wrote it. Control characters become "?".
  static constexpr int64_t kMostColumns = 300;
  static constexpr char kLearnerName[] = "learner";

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

  // This process is the run's learner; its state follows from what the run does.
  void SetLearner(const std::string& software, const std::string& address,
                  const std::string& numerics, int64_t policy_version);
  // It has learnt from so many tokens more.
  void Learnt(int64_t policy_version, int64_t tokens);
  // Whoever generates is asked for there whenever workers are written, until EndWorkers. A worker
  // that is not among them any more has left.
  void WatchGroups(const GroupSource& groups);
  // A rollout worker that is gone.
  void SeeGone(const WorkerLoad& last, bool in_order, const std::string& words);
  // A worker as it is now: written at once where it is new, gone or has new last words.
  void See(WorkerRecord worker);
  // The run is over: so are its workers, for this reason where they have no last words.
  void EndWorkers(const std::string& words);

  // Something that happened, on the console and as an event of the step under way.
  void Note(const std::string& kind, const std::string& message);
  void Warn(const std::string& kind, const std::string& message);

 private:
  void BeginOfLearner(const std::string& activity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AskGroups() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteWorkers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteEvent(const std::string& kind, const std::string& message);

  RunStore& store_;
  Console& console_;
  Clock& clock_;
  absl::Mutex mutex_;
  RunState state_ ABSL_GUARDED_BY(mutex_);
  absl::Time state_written_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time workers_written_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  const GroupSource* groups_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<std::string, WorkerRecord> workers_ ABSL_GUARDED_BY(mutex_);  // by name, that are here
  // The learner's share of time: from the begin of an update to that of the next.
  absl::Time update_began_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time activity_began_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Duration learnt_ ABSL_GUARDED_BY(mutex_);  // since update_began_
};

}  // namespace ponder
