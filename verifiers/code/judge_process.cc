#include "verifiers/code/judge_process.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ponder {
namespace {

using nlohmann::json;

constexpr int kReadyLimitMs = 20'000;
constexpr std::string_view kReady = "ready";
// Kinds of messages, see judge.py.
constexpr char kTask = 1, kAnswer = 2, kGone = 3;
constexpr char kOperation = 1, kOutcome = 2;

size_t LengthAt(std::string_view bytes) {
  uint32_t length = 0;
  for (int i = 0; i < 4; ++i)
    length |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << 8 * i;
  return length;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JudgeProcess>> JudgeProcess::Start(const Sandbox& sandbox,
                                                                  int64_t slot) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Box> box, sandbox.StartJudge(slot));
  std::unique_ptr<JudgeProcess> judge(new JudgeProcess(std::move(box)));
  struct pollfd event = {.fd = judge->Descriptor(), .events = POLLIN, .revents = 0};
  int ready = 0;
  while ((ready = poll(&event, 1, kReadyLimitMs)) < 0 && errno == EINTR) {
  }
  if (ready > 0) PONDER_RETURN_IF_ERROR(judge->Exchange());
  if (judge->NextFrame() != kReady) {
    return Unavailable("the interpreter for the tests did not start within {} ms", kReadyLimitMs);
  }
  judge->in_.clear();
  return judge;
}

void JudgeProcess::Send(std::string_view head, std::string_view body) {
  out_ += LengthPrefix(head.size() + body.size());
  out_ += head;
  out_ += body;
}

void JudgeProcess::BeginTask(std::string_view tests) { Send({&kTask, 1}, tests); }

void JudgeProcess::GiveAnswer(const Answer& answer) {
  const char head[] = {kAnswer, static_cast<char>(answer.kind)};
  Send({head, 2}, answer.payload);
}

void JudgeProcess::SayGone() { Send({&kGone, 1}, {}); }

absl::Status JudgeProcess::Exchange() {
  while (!out_.empty()) {
    const ssize_t sent = send(Descriptor(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent < 0) return Unavailable("the process that runs the tests has ended");
    out_.erase(0, static_cast<size_t>(sent));
  }
  char bytes[1 << 16];
  for (;;) {
    const ssize_t got = recv(Descriptor(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return absl::OkStatus();
    if (got <= 0) return Unavailable("the process that runs the tests has ended");
    in_.append(bytes, static_cast<size_t>(got));
    if (got < static_cast<ssize_t>(sizeof(bytes))) return absl::OkStatus();
  }
}

std::optional<std::string_view> JudgeProcess::NextFrame() const {
  if (in_.size() < 4 || in_.size() - 4 < LengthAt(in_)) return std::nullopt;
  return std::string_view(in_).substr(4, LengthAt(in_));
}

std::optional<std::string> JudgeProcess::TakeOperation() {
  const std::optional<std::string_view> frame = NextFrame();
  if (!frame || frame->empty() || (*frame)[0] != kOperation) return std::nullopt;
  std::string operation(frame->substr(1));
  in_.erase(0, 4 + 1 + operation.size());
  return operation;
}

absl::StatusOr<std::optional<TestOutcome>> JudgeProcess::TakeOutcome() {
  const std::optional<std::string_view> frame = NextFrame();
  if (!frame) return std::nullopt;
  if (frame->empty() || (*frame)[0] != kOutcome) return std::nullopt;
  const json message = json::parse(frame->substr(1), nullptr, /*allow_exceptions=*/false);
  in_.erase(0, 4 + frame->size());
  TestOutcome outcome;
  const std::string kind = message.is_object() ? message.value("outcome", "") : "";
  if (kind == "passed") {
    outcome.kind = TestOutcome::Kind::kPassed;
  } else if (kind == "failed") {
    outcome.kind = TestOutcome::Kind::kFailed;
  } else if (kind == "gone") {
    outcome.kind = TestOutcome::Kind::kGone;
  } else if (kind != "broken") {
    return Internal("the process that runs the tests gave no outcome");
  }
  outcome.test = message.value("test", int64_t{0});
  outcome.tests = message.value("tests", int64_t{0});
  outcome.reason = message.value("reason", "");
  outcome.lost = message.value("lost", false);
  return outcome;
}

}  // namespace ponder
