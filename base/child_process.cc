#include "base/child_process.h"

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

constexpr size_t kMaxLineBytes = size_t{1} << 20;

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

// While it lives, this thread's writes into a pipe without a reader give EPIPE and no signal.
class BlockedBrokenPipe {
 public:
  BlockedBrokenPipe() {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  ~BlockedBrokenPipe() {
    const struct timespec at_once = {};
    if (sigismember(&before_, SIGPIPE) == 0) {
      while (sigtimedwait(&signal_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  BlockedBrokenPipe(const BlockedBrokenPipe&) = delete;
  BlockedBrokenPipe& operator=(const BlockedBrokenPipe&) = delete;

 private:
  sigset_t signal_, before_;
};

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
  fcntl(input[1], F_SETFL, O_NONBLOCK);
  return ChildProcess(*pid, input[1], output[0]);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      buffer_(std::move(other.buffer_)),
      searched_(std::exchange(other.searched_, 0)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(buffer_, other.buffer_);
  std::swap(searched_, other.searched_);
  return *this;
}

ChildProcess::~ChildProcess() {
  Kill();
  if (input_ >= 0) close(input_);
  if (output_ >= 0) close(output_);
}

absl::StatusOr<std::string> ChildProcess::ReadLine(absl::Duration timeout) {
  std::string_view nothing;
  return Converse(nothing, absl::Now() + timeout);
}

absl::StatusOr<std::string> ChildProcess::Converse(std::string_view& input, absl::Time deadline) {
  // A child that no longer reads must cost this process an error, not its life.
  const BlockedBrokenPipe blocked;
  for (;;) {
    if (const size_t end = buffer_.find('\n', searched_); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      searched_ = 0;
      return line;
    }
    searched_ = buffer_.size();
    if (searched_ > kMaxLineBytes) {
      return ResourceExhausted("process {} wrote a line of more than {} bytes", pid_,
                               kMaxLineBytes);
    }
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left_ms <= 0) {
      return absl::DeadlineExceededError(fmt::format("process {} wrote no line in time", pid_));
    }
    struct pollfd events[2] = {{.fd = output_, .events = POLLIN, .revents = 0},
                               {.fd = input_, .events = POLLOUT, .revents = 0}};
    const nfds_t watched = input.empty() ? 1 : 2;
    if (poll(events, watched, static_cast<int>(std::min<int64_t>(left_ms, 1000))) <= 0) continue;
    if (events[1].revents != 0) {
      const ssize_t sent = write(input_, input.data(), input.size());
      if (sent > 0) input.remove_prefix(static_cast<size_t>(sent));
      // It may have written its last words before it stopped reading.
      if (sent < 0 && errno != EINTR && errno != EAGAIN) input = {};
    }
    if (events[0].revents == 0) continue;
    char bytes[4096];
    const ssize_t got = read(output_, bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Unavailable("process {} ended before it wrote a line", pid_);
    buffer_.append(bytes, static_cast<size_t>(got));
  }
}

bool ChildProcess::Running() {
  if (pid_ < 0) return false;
  siginfo_t ended = {};
  if (waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      ended.si_pid == 0) {
    return true;
  }
  Kill();
  return false;
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  // Not reaped yet, so the number is still this child's, and so is its group.
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

std::string ProgramPath() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace ponder
