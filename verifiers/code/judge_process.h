#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "verifiers/code/box.h"
#include "verifiers/code/sandbox.h"
#include "verifiers/code/wire.h"

namespace ponder {

// What became of a task's tests.
struct TestOutcome {
  enum class Kind {
    kPassed,
    kFailed,
    kBroken,  // the tests themselves are at fault
    kGone,    // the candidate ended under way
  };
  Kind kind = Kind::kBroken;
  int64_t test = 0;  // the one under way, counted from 1
  int64_t tests = 0;
  std::string reason;  // for kGone: what was asked last
  bool lost = false;   // the process ends after this
};

// judge.py in a box of its own: runs tests, asks for what they call, never sees a candidate. It is
// trusted, unlike candidates. Not thread-safe.
class JudgeProcess {
 public:
  // Waits until it is ready.
  static absl::StatusOr<std::unique_ptr<JudgeProcess>> Start(const Sandbox& sandbox, int64_t slot);

  int Descriptor() const { return box_->Control(); }
  // Takes up the tests of a task, as of CodeTask::tests.
  void BeginTask(std::string_view tests);
  void GiveAnswer(const Answer& answer);
  void SayGone();
  bool HasToWrite() const { return !out_.empty(); }
  // Writes and reads what is possible without waiting. UNAVAILABLE where the process has ended.
  absl::Status Exchange();
  // The next operation for the candidate, in marshal format.
  std::optional<std::string> TakeOperation();
  // What became of the tests, once; no operation comes after it.
  absl::StatusOr<std::optional<TestOutcome>> TakeOutcome();

 private:
  explicit JudgeProcess(std::unique_ptr<Box> box) : box_(std::move(box)) {}
  std::optional<std::string_view> NextFrame() const;
  void Send(std::string_view head, std::string_view body);

  std::unique_ptr<Box> box_;
  std::string in_, out_;
};

}  // namespace ponder
