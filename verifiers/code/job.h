#pragma once

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <string>

#include "base/status.h"
#include "verifiers/code/zygote.h"

namespace ponder {

// Why a candidate was stopped from outside.
// kOutside: by somebody else than this service, e.g. where the whole machine ran out of memory.
enum class JobStop { kNone, kProcessorTime, kWallTime, kDeadline, kDone, kOutside };

struct JobTimes {
  double cpu_s = 0;
  double wall_s = 0;
  absl::Time deadline;  // of the caller: to run into it is not the candidate's fault
};

// A candidate from its start until all of it has ended. The clocks are the machine's: the wall's
// from the start on, and the processor time of the slot's control group, or of the process where
// there is none. Not thread-safe.
class Job {
 public:
  static absl::StatusOr<std::unique_ptr<Job>> Start(Zygote& zygote, const JobOptions& options,
                                                    const JobTimes& times);
  ~Job();  // Finish

  // For poll: readable where Advance has something to take, and when it is to be called at last.
  int Descriptor() const { return zygote_.Descriptor(); }
  int PollLimitMs() const;
  // Looks at the clocks and at what the zygote says; kills where a limit is passed. An error means
  // that the box is lost: the zygote must be made anew.
  absl::Status Advance();
  // Kills it where it runs and waits until all of it is gone; an error as above.
  absl::Status Finish();

  bool Ended() const { return ended_; }
  JobStop Stop() const { return stop_; }
  // In words, after the end: "used more than 3 s of processor time", "ended with exit status 1".
  std::string Ending() const;
  bool KilledForMemory() const;

 private:
  Job(Zygote& zygote, const JobTimes& times);
  void StopFor(JobStop reason);
  absl::Status LookAtClocks();
  void TakeEnd(const ZygoteEvent& event);

  Zygote& zygote_;
  const JobTimes times_;
  const absl::Time start_ = absl::Now();
  const absl::Time wall_end_;
  absl::Time next_look_;
  int64_t group_ns_at_start_ = 0;
  int64_t memory_kills_at_start_ = 0;
  bool asked_ = false;  // for the processor time
  bool ended_ = false;
  bool lost_ = false;
  JobStop stop_ = JobStop::kNone;
  int status_ = 0;
};

}  // namespace ponder
