#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"

namespace ponder {

// Runs a program (found on PATH) with this process's streams and waits for its end; a non-zero exit
// is an error that says so.
absl::Status RunProcess(const std::vector<std::string>& arguments);

// A child process whose standard input and output this process holds. When this process ends,
// however it ends, the child's input closes; children of ours end then. Not thread-safe.
class ChildProcess {
 public:
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& arguments);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  // kills and reaps

  pid_t Pid() const { return pid_; }
  // The next line of its output. DEADLINE_EXCEEDED after `timeout`, UNAVAILABLE where it ended
  // first.
  absl::StatusOr<std::string> ReadLine(absl::Duration timeout);
  // False once it has ended (and is reaped).
  bool Running();
  void Kill();

 private:
  ChildProcess(pid_t pid, int input, int output) : pid_(pid), input_(input), output_(output) {}

  pid_t pid_ = -1;
  int input_ = -1;   // write end of its standard input
  int output_ = -1;  // read end of its standard output
  std::string buffer_;
};

// The path of the running program.
std::string ProgramPath();

}  // namespace ponder
