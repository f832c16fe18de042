#pragma once

#include <absl/time/time.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// Runs a program (found on PATH) with this process's streams and waits for its end; a non-zero exit
// is an error that says so.
absl::Status RunProcess(const std::vector<std::string>& arguments);

class ErrorWatch;

// A child process whose standard input and output this process holds. When this process ends,
// however it ends, the child's input closes; children of ours end then. Not thread-safe.
class ChildProcess {
 public:
  // Where its standard error goes: to this process's own, and of a watched one the last line is
  // kept on the way.
  enum class Errors { kShared, kWatched };
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& arguments,
                                            Errors errors = Errors::kShared);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  // kills and reaps

  pid_t Pid() const { return pid_; }
  // The next line of its output, without its end. DEADLINE_EXCEEDED after `timeout`, UNAVAILABLE
  // where it ended first, RESOURCE_EXHAUSTED where the line has more than 1 MiB.
  absl::StatusOr<std::string> ReadLine(absl::Duration timeout);
  // The same while the child is fed: what it takes of `input` is removed from its front, also where
  // the call fails. All of it is dropped once the child no longer reads.
  absl::StatusOr<std::string> Converse(std::string_view& input, absl::Time deadline);
  // False once it has ended; it is reaped then, and what it left in its process group killed.
  bool Running();
  // Waits for that; false where it goes on after `timeout`.
  bool AwaitEnd(absl::Duration timeout);
  // Kills the child and what it started in its process group; reaps the child.
  void Kill();
  // Of one that has ended: "ended by signal 9 (Killed)", or `why` where Kill ended it; of a watched
  // one the line that it wrote last follows, cut to 512 bytes. May hold any bytes.
  std::string LastWords(const std::string& why) const;

 private:
  ChildProcess(pid_t pid, int input, int output);
  bool HasEnded() const;  // without reaping it

  pid_t pid_ = -1;
  int input_ = -1;   // write end of its standard input, non-blocking
  int output_ = -1;  // read end of its standard output
  std::string buffer_;
  size_t searched_ = 0;  // bytes of buffer_ without a line's end
  std::unique_ptr<ErrorWatch> errors_;
  std::string ending_;  // how it ended by itself
  std::string said_;    // the last line of its errors
};

// The path of the running program.
std::string ProgramPath();

}  // namespace ponder
