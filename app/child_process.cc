#include "app/child_process.h"

#include <absl/time/clock.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

extern char** environ;

namespace ponder {
namespace {

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, int input, int output) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  // A group of its own where we hold its streams: Ctrl-C in the terminal is then for this process
  // alone, which ends it in order.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  if (input >= 0) {
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
  }
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Internal("cannot start {}: {}", arguments[0], std::strerror(error));
  return pid;
}

}  // namespace

absl::Status RunProcess(const std::vector<std::string>& arguments) {
  PONDER_ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments, -1, -1));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFSIGNALED(status))
    return Internal("{} was ended by signal {}", arguments[0], WTERMSIG(status));
  return Internal("{} ended with exit status {}", arguments[0], WEXITSTATUS(status));
}

absl::StatusOr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& arguments) {
  int input[2], output[2];
  if (pipe2(input, O_CLOEXEC) != 0) return Internal("cannot make a pipe: {}", std::strerror(errno));
  if (pipe2(output, O_CLOEXEC) != 0) {
    close(input[0]);
    close(input[1]);
    return Internal("cannot make a pipe: {}", std::strerror(errno));
  }
  absl::StatusOr<pid_t> pid = Spawn(arguments, input[0], output[1]);
  close(input[0]);
  close(output[1]);
  if (!pid.ok()) {
    close(input[1]);
    close(output[0]);
    return pid.status();
  }
  return ChildProcess(*pid, input[1], output[0]);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      buffer_(std::move(other.buffer_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

ChildProcess::~ChildProcess() {
  Kill();
  if (input_ >= 0) close(input_);
  if (output_ >= 0) close(output_);
}

absl::StatusOr<std::string> ChildProcess::ReadLine(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left_ms <= 0) {
      return absl::DeadlineExceededError(
          fmt::format("process {} wrote no line within {}", pid_, absl::FormatDuration(timeout)));
    }
    struct pollfd event = {.fd = output_, .events = POLLIN, .revents = 0};
    if (poll(&event, 1, static_cast<int>(std::min<int64_t>(left_ms, 1000))) <= 0) continue;
    char bytes[4096];
    const ssize_t got = read(output_, bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Unavailable("process {} ended before it wrote a line", pid_);
    buffer_.append(bytes, static_cast<size_t>(got));
  }
}

bool ChildProcess::Running() {
  if (pid_ < 0) return false;
  int status = 0;
  const pid_t ended = waitpid(pid_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return true;
  pid_ = -1;
  return false;
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

std::string ProgramPath() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace ponder
