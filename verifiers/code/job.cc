#include "verifiers/code/job.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <thread>

namespace ponder {
namespace {

// A box that has not buried a killed candidate by then is given up. Killing and unmounting take
// milliseconds, longer where gigabytes are to be freed on a loaded machine.
constexpr absl::Duration kBurialLimit = absl::Seconds(5);
constexpr int kAfterKillMs = 100;
constexpr absl::Duration kLeastLook = absl::Milliseconds(10);

absl::Duration Cores() {
  return absl::Seconds(std::max<unsigned>(1, std::thread::hardware_concurrency()));
}

}  // namespace

Job::Job(Zygote& zygote, const JobTimes& times)
    : zygote_(zygote),
      times_(times),
      wall_end_(start_ + absl::Seconds(times.wall_s)),
      // No sooner can the processor time be used up, with all cores at work.
      next_look_(start_ + absl::Seconds(times.cpu_s) / (Cores() / absl::Seconds(1))) {
  if (zygote_.Group() != nullptr) {
    group_ns_at_start_ = zygote_.Group()->ProcessorNs();
    memory_kills_at_start_ = zygote_.Group()->KilledForMemory();
  }
}

absl::StatusOr<std::unique_ptr<Job>> Job::Start(Zygote& zygote, const JobOptions& options,
                                                const JobTimes& times) {
  std::unique_ptr<Job> job(new Job(zygote, times));
  absl::Status started = zygote.StartJob(options);
  job->lost_ = !started.ok();
  if (job->lost_) return started;
  return job;
}

Job::~Job() { Finish().IgnoreError(); }

int Job::PollLimitMs() const {
  if (stop_ != JobStop::kNone) return kAfterKillMs;  // its end is what there is to wait for
  const absl::Time until = std::min({wall_end_, times_.deadline, next_look_});
  const int64_t left = absl::ToInt64Milliseconds(until - absl::Now()) + 1;
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

void Job::StopFor(JobStop reason) {
  if (stop_ != JobStop::kNone || ended_) return;
  stop_ = reason;
  zygote_.Kill().IgnoreError();  // a lost box is noticed when its end is awaited
}

absl::Status Job::LookAtClocks() {
  const absl::Time now = absl::Now();
  if (now >= wall_end_) StopFor(JobStop::kWallTime);
  if (now >= times_.deadline) StopFor(JobStop::kDeadline);
  if (now < next_look_ || stop_ != JobStop::kNone) return absl::OkStatus();
  if (zygote_.Group() == nullptr) {
    if (!asked_) PONDER_RETURN_IF_ERROR(zygote_.AskProcessorTime());
    asked_ = true;
    next_look_ = now + absl::Seconds(1);  // the answer sets it
    return absl::OkStatus();
  }
  const int64_t used_ns = zygote_.Group()->ProcessorNs() - group_ns_at_start_;
  const absl::Duration left = absl::Seconds(times_.cpu_s) - absl::Nanoseconds(used_ns);
  if (left <= absl::ZeroDuration()) StopFor(JobStop::kProcessorTime);
  next_look_ = now + std::max(kLeastLook, left / (Cores() / absl::Seconds(1)));
  return absl::OkStatus();
}

absl::Status Job::Advance() {
  for (;;) {
    absl::StatusOr<ZygoteEvent> event = zygote_.Read();
    if (!event.ok()) {
      ended_ = lost_ = true;
      return event.status();
    }
    if (event->kind == ZygoteEvent::Kind::kNone) break;
    if (event->kind == ZygoteEvent::Kind::kEnded) {
      TakeEnd(*event);
      return absl::OkStatus();
    }
    asked_ = false;
    const absl::Duration left =
        absl::Seconds(times_.cpu_s) - absl::Nanoseconds(event->processor_ns);
    if (left <= absl::ZeroDuration()) StopFor(JobStop::kProcessorTime);
    next_look_ = absl::Now() + std::max(kLeastLook, left / (Cores() / absl::Seconds(1)));
  }
  return LookAtClocks();
}

// A candidate is the first process of its process ids, which nothing within can kill, and its limit
// of processor time is fixed; so where it was killed, that came from outside.
void Job::TakeEnd(const ZygoteEvent& event) {
  ended_ = true;
  status_ = event.status;
  const bool killed = WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL;
  if (!killed || stop_ != JobStop::kNone || KilledForMemory()) return;
  const bool over = absl::Nanoseconds(event.processor_ns) >= absl::Seconds(times_.cpu_s);
  stop_ = over ? JobStop::kProcessorTime : JobStop::kOutside;
}

absl::Status Job::Finish() {
  if (lost_) return Unavailable("the sandbox was lost");
  StopFor(JobStop::kDone);
  const absl::Time limit = absl::Now() + kBurialLimit;
  while (!ended_) {
    const int64_t left_ms = absl::ToInt64Milliseconds(limit - absl::Now());
    if (left_ms <= 0) {
      lost_ = true;
      return Unavailable("a killed program was still there after {}",
                         absl::FormatDuration(kBurialLimit));
    }
    struct pollfd event = {.fd = Descriptor(), .events = POLLIN, .revents = 0};
    poll(&event, 1, static_cast<int>(left_ms));
    PONDER_RETURN_IF_ERROR(Advance());
  }
  return absl::OkStatus();
}

bool Job::KilledForMemory() const {
  return zygote_.Group() != nullptr && zygote_.Group()->KilledForMemory() > memory_kills_at_start_;
}

std::string Job::Ending() const {
  switch (stop_) {
    case JobStop::kProcessorTime:
      return fmt::format("used more than {} s of processor time", times_.cpu_s);
    case JobStop::kWallTime:
      return fmt::format("ran longer than {} s", times_.wall_s);
    case JobStop::kDeadline:
      return "was still running when the caller's deadline passed";
    case JobStop::kOutside:
      return "was killed by something else on this machine";
    case JobStop::kNone:
    case JobStop::kDone:
      break;
  }
  if (KilledForMemory()) return "was killed because it used more memory than allowed";
  if (WIFSIGNALED(status_)) {
    return fmt::format("was ended by signal {} ({})", WTERMSIG(status_),
                       strsignal(WTERMSIG(status_)));
  }
  return fmt::format("ended with exit status {}", WEXITSTATUS(status_));
}

}  // namespace ponder
