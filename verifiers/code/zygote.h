#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "verifiers/code/box.h"
#include "verifiers/code/cgroup.h"
#include "verifiers/code/code_verifier.h"
#include "verifiers/code/job_message.h"
#include "verifiers/code/sandbox.h"

namespace ponder {

struct JobOptions {
  JobKind kind = JobKind::kModule;
  // Descriptors of ours and what they become: 0, 1 (2 is nothing), 3 the channel, 4 a file.
  std::vector<std::pair<int, int>> descriptors;
};

struct ZygoteEvent {
  enum class Kind { kNone, kProcessorTime, kEnded };
  Kind kind = Kind::kNone;
  int64_t processor_ns = 0;  // of the job, so far
  int status = 0;            // kEnded, as of wait
};

// A box with zygote.py in it: forks a candidate a job, one at a time. Not thread-safe.
class Zygote {
 public:
  // Waits until the interpreter is warm.
  static absl::StatusOr<std::unique_ptr<Zygote>> Start(const Sandbox& sandbox, int64_t slot,
                                                       bool with_compiler);

  absl::Status StartJob(const JobOptions& job);
  absl::Status AskProcessorTime();                    // answered by an event
  absl::Status Kill();                                // the job; answered by kEnded
  int Descriptor() const { return box_->Control(); }  // readable: an event is there
  // Does not wait. UNAVAILABLE where the box has ended.
  absl::StatusOr<ZygoteEvent> Read();

  // Of the whole box, null where there is none.
  const Cgroup* Group() const { return cgroup_.get(); }
  pid_t Pid() const { return box_->Pid(); }
  bool HasOwnUsers() const { return box_->HasOwnUsers(); }

 private:
  Zygote(const Sandbox& sandbox, std::unique_ptr<Cgroup> cgroup, std::unique_ptr<Box> box)
      : sandbox_(sandbox), cgroup_(std::move(cgroup)), box_(std::move(box)) {}
  absl::Status Send(std::string_view message, const std::vector<int>& descriptors = {});

  const Sandbox& sandbox_;
  std::unique_ptr<Cgroup> cgroup_;  // outlives the box
  std::unique_ptr<Box> box_;
  int64_t memory_limit_ = -1;  // as the group has it
  int64_t warm_bytes_ = 0;     // address space of the interpreter before any candidate
};

}  // namespace ponder
