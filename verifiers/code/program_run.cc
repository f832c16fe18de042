#include "verifiers/code/program_run.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "verifiers/code/file_descriptor.h"

namespace ponder {
namespace {

constexpr int kReadsAtOnce = 16;  // so that a flood leaves time for the clocks
constexpr int kShortWaitMs = 50;

struct Ends {
  FileDescriptor ours, theirs;
};

// Sockets rather than pipes: writing to a program that has closed its input raises no signal here.
absl::StatusOr<Ends> MakeStream() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Internal("cannot make a socket pair: {}", std::strerror(errno));
  }
  return Ends{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

class RunningProgram {
 public:
  RunningProgram(std::unique_ptr<Job> job, std::optional<CandidateChannel> channel,
                 FileDescriptor in, FileDescriptor out, std::string_view input,
                 int64_t max_output_bytes)
      : job_(std::move(job)),
        channel_(std::move(channel)),
        in_(std::move(in)),
        out_(std::move(out)),
        input_(input),
        max_output_bytes_(static_cast<size_t>(max_output_bytes)) {}

  absl::StatusOr<ProgramResult> Run() {
    // What the first process of the program started ends with it, so the output does, too.
    while (!result_.fault && !(job_->Ended() && out_.Get() < 0 && !channel_)) {
      Wait();
      if (!job_->Ended()) {
        const absl::Status advanced = job_->Advance();
        if (!advanced.ok() && !job_->KilledForMemory()) return advanced;
      }
      Feed();
      Take();
      ReadChannel();
    }
    result_.zygote_lost = !job_->Finish().ok();
    result_.ending = job_->Ending();
    if (!result_.fault) result_.fault = FaultOfEnd();
    return std::move(result_);
  }

 private:
  void Wait() {
    const int channel_events = POLLIN | (channel_ && channel_->HasToWrite() ? POLLOUT : 0);
    struct pollfd events[4] = {{.fd = job_->Ended() ? -1 : job_->Descriptor(), .events = POLLIN},
                               {.fd = in_.Get(), .events = POLLOUT},
                               {.fd = out_.Get(), .events = POLLIN},
                               {.fd = channel_ ? channel_->Descriptor() : -1,
                                .events = static_cast<short>(channel_events)}};
    poll(events, 4, job_->Ended() ? kShortWaitMs : job_->PollLimitMs());
  }

  void Feed() {
    while (in_.Get() >= 0 && !input_.empty()) {
      const ssize_t sent =
          send(in_.Get(), input_.data(), input_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (sent < 0) break;  // it has closed its input: its own affair
      input_.remove_prefix(static_cast<size_t>(sent));
    }
    in_.Close();
  }

  void Take() {
    char bytes[1 << 16];
    for (int i = 0; i < kReadsAtOnce && out_.Get() >= 0; ++i) {
      const ssize_t got = recv(out_.Get(), bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) return out_.Close();
      result_.output.append(bytes, static_cast<size_t>(got));
      if (result_.output.size() > max_output_bytes_) {
        result_.fault = {VerdictStatus::kWrong, fmt::format("the program printed more than {} KiB",
                                                            max_output_bytes_ / 1024)};
        return;
      }
    }
  }

  void ReadChannel() {
    if (!channel_) return;
    absl::Status fault = channel_->Exchange();
    absl::StatusOr<std::optional<Answer>> answer = channel_->Next();
    if (fault.ok()) fault = answer.status();
    if (!fault.ok()) {
      result_.fault = {VerdictStatus::kWrong,
                       fmt::format("the program wrote what is no answer: {}", fault.message())};
      return;
    }
    if (*answer && (*answer)->kind == AnswerKind::kSyntax) {
      const std::vector<std::string> texts = TextsOf((*answer)->payload);
      result_.fault = {VerdictStatus::kUnparseable, fmt::format("{}: {}", texts[0], texts[1])};
    }
    if (*answer) result_.loaded = (*answer)->kind == AnswerKind::kReady;
    if (*answer || !channel_->Open()) channel_.reset();
  }

  std::optional<CodeFinding> FaultOfEnd() const {
    const std::string ending = "the program " + job_->Ending();
    switch (job_->Stop()) {
      case JobStop::kProcessorTime:
      case JobStop::kWallTime:
        return CodeFinding{VerdictStatus::kTimeout, ending};
      case JobStop::kDeadline:
      case JobStop::kOutside:
        return CodeFinding{VerdictStatus::kInternal, ending};
      case JobStop::kNone:
      case JobStop::kDone:
        break;
    }
    if (job_->KilledForMemory()) return CodeFinding{VerdictStatus::kWrong, ending};
    return std::nullopt;
  }

  std::unique_ptr<Job> job_;
  std::optional<CandidateChannel> channel_;
  FileDescriptor in_, out_;
  std::string_view input_;
  const size_t max_output_bytes_;
  ProgramResult result_;
};

}  // namespace

absl::StatusOr<ProgramResult> RunProgram(Zygote& zygote, JobOptions job, const JobTimes& times,
                                         int64_t max_output_bytes,
                                         std::optional<CandidateChannel> channel,
                                         std::string_view input) {
  PONDER_ASSIGN_OR_RETURN(Ends in, MakeStream());
  PONDER_ASSIGN_OR_RETURN(Ends out, MakeStream());
  job.descriptors.emplace_back(in.theirs.Get(), 0);
  job.descriptors.emplace_back(out.theirs.Get(), 1);
  if (channel) job.descriptors.emplace_back(channel->TheirEnd(), 3);
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Job> started, Job::Start(zygote, job, times));
  // Only the program's own copies of its ends are left, so that its end can be seen.
  in.theirs.Close();
  out.theirs.Close();
  if (channel) channel->CloseTheirEnd();
  return RunningProgram(std::move(started), std::move(channel), std::move(in.ours),
                        std::move(out.ours), input, max_output_bytes)
      .Run();
}

}  // namespace ponder
