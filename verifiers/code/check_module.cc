#include <poll.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "verifiers/code/candidate_channel.h"
#include "verifiers/code/check.h"
#include "verifiers/code/job.h"

namespace ponder {
namespace {

// How long the tests may compute between two calls of the candidate's: comparing values that were
// made to be slow must not hold the slot.
constexpr absl::Duration kJudgeLimit = absl::Seconds(10);
// How long a candidate may be there still after its channel was closed, before it is said to have
// closed it itself.
constexpr absl::Duration kEndAfterClosing = absl::Milliseconds(500);
constexpr int kShortWaitMs = 50;

// One candidate against one task's tests: passes operations and answers on between judge and
// candidate, and watches the clocks.
class ModuleCheck {
 public:
  ModuleCheck(JudgeProcess& judge, CandidateChannel channel)
      : judge_(judge), channel_(std::move(channel)) {}

  absl::StatusOr<CodeFinding> Run(Zygote& zygote, const JobTimes& times) {
    // The candidate starts when there is something for it to do; source and operations then come to
    // it in one piece.
    while (!finding_ && asked_ == 0) PONDER_RETURN_IF_ERROR(AwaitOperation(times.deadline));
    if (finding_) return *std::move(finding_);
    PONDER_ASSIGN_OR_RETURN(
        job_,
        Job::Start(zygote, {.kind = JobKind::kModule, .descriptors = {{channel_.TheirEnd(), 3}}},
                   times));
    channel_.CloseTheirEnd();
    while (!finding_) PONDER_RETURN_IF_ERROR(Step());
    // The candidate must be gone before the slot's next one starts.
    finding_->zygote_lost = !job_->Finish().ok();
    return *std::move(finding_);
  }

 private:
  absl::Status AwaitOperation(absl::Time deadline) {
    // It may have come while the tests were sent; nothing would wake a poll for it.
    PONDER_RETURN_IF_ERROR(FromJudge());
    if (finding_ || asked_ > 0) return absl::OkStatus();
    const absl::Time until = std::min(deadline, judge_turn_ + kJudgeLimit);
    const int64_t left_ms = absl::ToInt64Milliseconds(until - absl::Now()) + 1;
    struct pollfd event = {
        .fd = judge_.Descriptor(),
        .events = static_cast<short>(POLLIN | (judge_.HasToWrite() ? POLLOUT : 0))};
    poll(&event, 1, static_cast<int>(std::clamp<int64_t>(left_ms, 0, 1000)));
    PONDER_RETURN_IF_ERROR(judge_.Exchange());
    PONDER_RETURN_IF_ERROR(FromJudge());
    if (finding_ || asked_ > 0 || absl::Now() < until) return absl::OkStatus();
    JudgeIsSlow();
    if (absl::Now() >= deadline) {
      finding_->status = VerdictStatus::kInternal;
      finding_->reason = "the caller's deadline passed before the tests began";
    }
    return absl::OkStatus();
  }

  absl::Status Step() {
    Wait();
    PONDER_RETURN_IF_ERROR(judge_.Exchange());
    PONDER_RETURN_IF_ERROR(FromJudge());
    if (finding_) return absl::OkStatus();
    // The end first, then the channel: what was written before the end is read still.
    if (!job_->Ended()) {
      const absl::Status advanced = job_->Advance();
      if (!advanced.ok() && !job_->KilledForMemory()) return advanced;
    }
    if (!gone_) FromCandidate();
    if (!gone_ && !channel_.Open()) ChannelClosed();
    if (JudgesTurn() && absl::Now() - judge_turn_ > kJudgeLimit) JudgeIsSlow();
    return absl::OkStatus();
  }

  bool JudgesTurn() const { return gone_ || answered_ == asked_; }

  void Wait() {
    struct pollfd events[3] = {
        {.fd = judge_.Descriptor(),
         .events = static_cast<short>(POLLIN | (judge_.HasToWrite() ? POLLOUT : 0))},
        {.fd = job_->Ended() ? -1 : job_->Descriptor(), .events = POLLIN},
        {.fd = channel_.Open() && !gone_ ? channel_.Descriptor() : -1,
         .events = static_cast<short>(POLLIN | (channel_.HasToWrite() ? POLLOUT : 0))}};
    poll(events, 3, job_->Ended() || !channel_.Open() ? kShortWaitMs : job_->PollLimitMs());
  }

  // Operations go on to the candidate; the outcome ends the check.
  absl::Status FromJudge() {
    while (const std::optional<std::string> operation = judge_.TakeOperation()) {
      ++asked_;
      if (!gone_) channel_.Send(*operation);
    }
    PONDER_ASSIGN_OR_RETURN(const std::optional<TestOutcome> outcome, judge_.TakeOutcome());
    if (!outcome) return absl::OkStatus();
    const std::string place = fmt::format("test {} of {}", outcome->test, outcome->tests);
    switch (outcome->kind) {
      case TestOutcome::Kind::kPassed:
        finding_ = {VerdictStatus::kCorrect, fmt::format("{} tests passed", outcome->tests)};
        break;
      case TestOutcome::Kind::kFailed:
        finding_ = {VerdictStatus::kWrong, fmt::format("{}: {}", place, outcome->reason)};
        break;
      case TestOutcome::Kind::kBroken:
        finding_ = {VerdictStatus::kInvalidGold, outcome->reason};
        break;
      case TestOutcome::Kind::kGone:
        if (loaded_) {
          end_.reason = fmt::format("{}: {}: the program {}", place, outcome->reason, end_.reason);
        }
        finding_ = std::move(end_);
        break;
    }
    finding_->judge_lost = outcome->lost;
    return absl::OkStatus();
  }

  void FromCandidate() {
    absl::Status fault = channel_.Exchange();
    while (fault.ok()) {
      absl::StatusOr<std::optional<Answer>> answer = channel_.Next();
      if (!answer.ok()) {
        fault = answer.status();
      } else if (!*answer) {
        return;
      } else {
        fault = Take(**answer);
      }
      if (gone_) return;
    }
    SayGone({VerdictStatus::kWrong, fmt::format("wrote what is no answer: {}", fault.message())});
  }

  absl::Status Take(const Answer& answer) {
    if (!loaded_) {
      if (answer.number != 0) return InvalidArgument("message {} came first", answer.number);
      loaded_ = answer.kind == AnswerKind::kReady;
      if (loaded_) return absl::OkStatus();
      const std::vector<std::string> texts = TextsOf(answer.payload);
      if (answer.kind == AnswerKind::kSyntax) {
        SayGone({VerdictStatus::kUnparseable, fmt::format("{}: {}", texts[0], texts[1])});
      } else {
        SayGone({VerdictStatus::kWrong,
                 fmt::format("loading the code raised {}: {}", texts[0], texts[1])});
      }
      return absl::OkStatus();
    }
    if (answer.number != answered_ + 1 || answer.number > asked_) {
      return InvalidArgument("expected answer {} of {}, found {}", answered_ + 1, asked_,
                             answer.number);
    }
    ++answered_;
    if (answered_ == asked_) judge_turn_ = absl::Now();
    judge_.GiveAnswer(answer);
    return absl::OkStatus();
  }

  CodeFinding DescribeEnd() const {
    switch (job_->Stop()) {
      case JobStop::kProcessorTime:
      case JobStop::kWallTime:
        return {VerdictStatus::kTimeout, job_->Ending()};
      case JobStop::kDeadline:
      case JobStop::kOutside:
        return {VerdictStatus::kInternal, job_->Ending()};
      case JobStop::kNone:
      case JobStop::kDone:
        break;
    }
    return {VerdictStatus::kWrong, job_->Ending()};
  }

  // Nothing more can be read. Mostly the candidate has ended, and the zygote is about to say how.
  void ChannelClosed() {
    if (job_->Ended()) return SayGone(DescribeEnd());
    if (closed_ == absl::InfiniteFuture()) closed_ = absl::Now();
    if (absl::Now() - closed_ < kEndAfterClosing) return;
    SayGone({VerdictStatus::kWrong, "closed the channel that its answers go through"});
  }

  // No more answers will come; the judge says which test was under way.
  void SayGone(CodeFinding end) {
    end_ = std::move(end);
    gone_ = true;
    judge_turn_ = absl::Now();
    judge_.SayGone();
  }

  void JudgeIsSlow() {
    const std::string limit = absl::FormatDuration(kJudgeLimit);
    if (answered_ == 0 && !gone_) {
      finding_ = {VerdictStatus::kInvalidGold, "the tests by themselves ran longer than " + limit};
    } else {
      finding_ = {VerdictStatus::kTimeout, "the tests took longer than " + limit +
                                               " to deal with the values that came back"};
    }
    finding_->judge_lost = true;
  }

  JudgeProcess& judge_;
  CandidateChannel channel_;
  std::unique_ptr<Job> job_;
  bool loaded_ = false;
  bool gone_ = false;
  uint32_t asked_ = 0;
  uint32_t answered_ = 0;
  absl::Time judge_turn_ = absl::Now();
  absl::Time closed_ = absl::InfiniteFuture();  // the channel, by the candidate's side
  CodeFinding end_;
  std::optional<CodeFinding> finding_;
};

}  // namespace

absl::StatusOr<CodeFinding> CheckModule(Zygote& zygote, JudgeProcess& judge,
                                        const CodeLimits& limits, const CodeTask& task,
                                        std::string_view source, absl::Time deadline) {
  PONDER_ASSIGN_OR_RETURN(CandidateChannel channel, CandidateChannel::Make(limits, source));
  judge.BeginTask(task.tests);
  PONDER_RETURN_IF_ERROR(judge.Exchange());
  return ModuleCheck(judge, std::move(channel))
      .Run(zygote, {.cpu_s = limits.cpu_s, .wall_s = limits.wall_s, .deadline = deadline});
}

}  // namespace ponder
