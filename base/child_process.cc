#include "base/child_process.h"

#include <absl/time/clock.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

extern char** environ;

namespace ponder {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 20;

// A stream that is -1 stays this process's own.
struct Streams {
  int input = -1;
  int output = -1;
  int errors = -1;
};

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, const Streams& streams) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const auto& [from, to] : {std::pair(streams.input, STDIN_FILENO),
                                 {streams.output, STDOUT_FILENO},
                                 {streams.errors, STDERR_FILENO}}) {
    if (from >= 0) posix_spawn_file_actions_adddup2(&actions, from, to);
  }
  // A group of its own where we hold its streams: Ctrl-C in the terminal is then for this process
  // alone, which ends it in order.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  if (streams.input >= 0) {
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

std::string DescribeEnd(int status) {
  if (!WIFSIGNALED(status)) return fmt::format("ended with exit status {}", WEXITSTATUS(status));
  const char* const name = sigdescr_np(WTERMSIG(status));
  return fmt::format("ended by signal {} ({})", WTERMSIG(status), name == nullptr ? "?" : name);
}

// A pipe whose ends are closed with it unless taken.
struct Pipe {
  int ends[2] = {-1, -1};

  ~Pipe() {
    for (const int end : ends) {
      if (end >= 0) close(end);
    }
  }
  bool Open() { return pipe2(ends, O_CLOEXEC) == 0; }
  int Take(int which) { return std::exchange(ends[which], -1); }
};

}  // namespace

// A thread that passes a child's standard error on and remembers the last line.
class ErrorWatch {
 public:
  // Closes both in the end; `stop` is an eventfd.
  ErrorWatch(int pipe, int stop) : pipe_(pipe), stop_(stop), thread_([this] { Watch(); }) {}
  ~ErrorWatch() {
    if (thread_.joinable()) Finish();
    close(pipe_);
    close(stop_);
  }

  // The child has ended: reads what is left of it. Not again.
  std::string Finish() {
    const uint64_t one = 1;
    while (write(stop_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
    return IsBlank(line_) ? last_ : line_;
  }

 private:
  static constexpr size_t kMaxBytes = 512;  // of the line that is kept
  // Whoever it left behind may write on and on.
  static constexpr size_t kMaxLeftBytes = size_t{1} << 20;

  static bool IsBlank(std::string_view line) {
    return line.find_first_not_of(" \t\r") == std::string_view::npos;
  }

  void Watch() {
    const BlockedBrokenPipe blocked;
    size_t left = 0;
    for (bool ended = false; !ended || left < kMaxLeftBytes;) {
      struct pollfd events[2] = {{.fd = pipe_, .events = POLLIN, .revents = 0},
                                 {.fd = stop_, .events = POLLIN, .revents = 0}};
      if (poll(events, 2, ended ? 0 : -1) < 0 && errno != EINTR) return;
      ended |= events[1].revents != 0;
      if (events[0].revents == 0) {
        if (ended) return;
        continue;
      }
      char bytes[4096];
      const ssize_t got = read(pipe_, bytes, sizeof(bytes));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return;
      Take(std::string_view(bytes, static_cast<size_t>(got)));
      if (ended) left += static_cast<size_t>(got);
    }
  }

  void Take(std::string_view text) {
    for (const char c : text) {
      if (c != '\n') {
        if (line_.size() < kMaxBytes) line_ += c;
      } else if (std::string line = std::exchange(line_, ""); !IsBlank(line)) {
        last_ = std::move(line);
      }
    }
    while (!text.empty()) {
      const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return;
      text.remove_prefix(static_cast<size_t>(written));
    }
  }

  const int pipe_;
  const int stop_;
  std::string line_, last_;  // the thread's until it has ended
  std::thread thread_;
};

absl::Status RunProcess(const std::vector<std::string>& arguments) {
  PONDER_ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments, {}));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return Internal("{} {}", arguments[0], DescribeEnd(status));
}

absl::StatusOr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& arguments,
                                                 Errors errors) {
  Pipe input, output, said;
  const bool watched = errors == Errors::kWatched;
  if (!input.Open() || !output.Open() || (watched && !said.Open())) {
    return Internal("cannot make a pipe: {}", std::strerror(errno));
  }
  PONDER_ASSIGN_OR_RETURN(
      const pid_t pid,
      Spawn(arguments, {.input = input.ends[0], .output = output.ends[1], .errors = said.ends[1]}));
  fcntl(input.ends[1], F_SETFL, O_NONBLOCK);
  ChildProcess child(pid, input.Take(1), output.Take(0));
  if (watched) {
    const int stop = eventfd(0, EFD_CLOEXEC);
    if (stop < 0) return Internal("cannot make an eventfd: {}", std::strerror(errno));
    child.errors_ = std::make_unique<ErrorWatch>(said.Take(0), stop);
  }
  return child;
}

ChildProcess::ChildProcess(pid_t pid, int input, int output)
    : pid_(pid), input_(input), output_(output) {}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept : ChildProcess(-1, -1, -1) {
  *this = std::move(other);
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(buffer_, other.buffer_);
  std::swap(searched_, other.searched_);
  std::swap(errors_, other.errors_);
  std::swap(ending_, other.ending_);
  std::swap(said_, other.said_);
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
  if (!HasEnded()) return true;
  Kill();
  return false;
}

bool ChildProcess::AwaitEnd(absl::Duration timeout) {
  if (pid_ < 0) return true;
  // glibc 2.36 declares pidfd_open for C alone.
  if (const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)); handle >= 0) {
    struct pollfd event = {.fd = handle, .events = POLLIN, .revents = 0};
    poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
    close(handle);
  }
  return !Running();
}

bool ChildProcess::HasEnded() const {
  siginfo_t ended = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid != 0;
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  const bool by_itself = HasEnded();
  // Not reaped yet, so the number is still this child's, and so is its group.
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (by_itself) ending_ = DescribeEnd(status);
  if (errors_ != nullptr) said_ = std::exchange(errors_, nullptr)->Finish();
}

std::string ChildProcess::LastWords(const std::string& why) const {
  return fmt::format("{}{}{}", ending_.empty() ? why : ending_,
                     said_.empty() ? "" : "; its last line: ", said_);
}

std::string ProgramPath() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace ponder
