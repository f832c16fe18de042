#include "verifiers/math/algebra_worker.h"

#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "verifiers/math/wire.h"

namespace ponder::math {
namespace {

namespace fs = std::filesystem;

constexpr char kProgramName[] = "ponder-math-worker";
// A process also starts in this time: it links some megabytes of libraries.
constexpr absl::Duration kStartLimit = absl::Seconds(5);
// A machine that is busy with other things may take this much longer than the check itself.
constexpr int kMostWait = 50;

// Beside the program; a test's program lies in a folder of the build tree, so the folders above are
// looked at too.
absl::StatusOr<std::string> FindProgram() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return Internal("cannot tell where the program lies: {}", error.message());
  constexpr int kLevels = 3;
  fs::path folder = program.parent_path();
  for (int level = 0; level < kLevels; ++level, folder = folder.parent_path()) {
    const fs::path candidate = folder / kProgramName;
    if (fs::exists(candidate, error)) return candidate.string();
  }
  return NotFound("{} was expected beside {}; build the target of that name", kProgramName,
                  program.string());
}

bool WriteAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

std::string Framed(const std::string& message) {
  const auto size = static_cast<uint32_t>(message.size());
  std::string out(reinterpret_cast<const char*>(&size), sizeof(size));
  return out + message;
}

// One process with the socket to it.
class Worker {
 public:
  static absl::StatusOr<std::unique_ptr<Worker>> Start(const AlgebraWorkersOptions& options) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
      return Internal("no socket for {}: {}", options.program, std::strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, sockets[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    const std::string memory = std::to_string(options.memory_limit_bytes);
    std::string program = options.program;
    std::string limit = memory;
    char* const arguments[] = {program.data(), limit.data(), nullptr};
    char* const environment[] = {nullptr};
    pid_t child = -1;
    const int error =
        posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(sockets[1]);
    if (error != 0) {
      close(sockets[0]);
      return Internal("cannot start {}: {}", options.program, std::strerror(error));
    }
    std::unique_ptr<Worker> worker(new Worker(child, sockets[0]));
    // Answered once it has started; AwaitStart() takes the answer.
    if (!WriteAll(worker->socket_, Framed(EncodeRequest("1", "1", {})))) return Died();
    return worker;
  }

  ~Worker() {
    close(socket_);
    kill(child_, SIGKILL);
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The time that the process takes to start is not the answer's fault.
  absl::Status AwaitStart(absl::Time deadline) {
    if (started_) return absl::OkStatus();
    const absl::Status status = Reply(deadline).status();
    started_ = status.ok();
    return status.ok() ? status : Annotate(status, "a process for algebra does not start");
  }

  // The limit is one of processor time: that others keep the machine busy is not the answer's
  // fault.
  absl::StatusOr<AnswerCheck> Ask(const std::string& request, absl::Duration limit) {
    const absl::Duration used_before = ProcessorTime();
    const absl::Time end = absl::Now() + kMostWait * limit;
    if (!WriteAll(socket_, Framed(request))) return Died();
    for (absl::Duration left = limit; absl::Now() < end;
         left = limit - (ProcessorTime() - used_before)) {
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError("comparing the answers takes too long");
      }
      if (Readable(left)) return Reply(end);
    }
    return Internal("a process for algebra got no answer ready in {}",
                    absl::FormatDuration(kMostWait * limit));
  }

 private:
  absl::Duration ProcessorTime() const {
    clockid_t clock = 0;
    timespec used = {};
    if (clock_getcpuclockid(child_, &clock) == 0) clock_gettime(clock, &used);
    return absl::DurationFromTimespec(used);
  }

  bool Readable(absl::Duration limit) const {
    pollfd event = {.fd = socket_, .events = POLLIN, .revents = 0};
    return poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(limit)) + 1) > 0;
  }

  absl::StatusOr<AnswerCheck> Reply(absl::Time deadline) {
    PONDER_ASSIGN_OR_RETURN(const std::string head, Read(sizeof(uint32_t), deadline));
    uint32_t size = 0;
    std::memcpy(&size, head.data(), sizeof(size));
    if (size > kMostMessageBytes) return Died();
    PONDER_ASSIGN_OR_RETURN(const std::string reply, Read(size, deadline));
    std::optional<AnswerCheck> check = DecodeReply(reply);
    if (!check) return Died();
    return *std::move(check);
  }

  Worker(pid_t child, int socket) : child_(child), socket_(socket) {}

  static absl::Status Died() {
    return absl::ResourceExhaustedError("the process that compared the answers died");
  }

  absl::StatusOr<std::string> Read(size_t size, absl::Time deadline) {
    std::string bytes(size, '\0');
    size_t have = 0;
    while (have < size) {
      const absl::Duration left = deadline - absl::Now();
      pollfd event = {.fd = socket_, .events = POLLIN, .revents = 0};
      const int ready =
          left <= absl::ZeroDuration()
              ? 0
              : poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) return absl::DeadlineExceededError("comparing the answers takes too long");
      const ssize_t count = recv(socket_, bytes.data() + have, size - have, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return Died();
      have += static_cast<size_t>(count);
    }
    return bytes;
  }

  pid_t child_;
  int socket_;
  bool started_ = false;
};

class WorkerPool : public AlgebraWorkers {
 public:
  // The first process starts now, so that it is there when the first check needs it.
  explicit WorkerPool(AlgebraWorkersOptions options) : options_(std::move(options)) {
    absl::StatusOr<std::unique_ptr<Worker>> first = StartWorker();
    if (first.ok()) idle_.push_back(*std::move(first));  // else the first check says why not
  }

  absl::StatusOr<AnswerCheck> Check(std::string_view gold, std::string_view answer,
                                    const CompareOptions& options) override {
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker, Take());
    PONDER_RETURN_IF_ERROR(worker->AwaitStart(absl::Now() + kStartLimit));
    absl::StatusOr<AnswerCheck> check =
        worker->Ask(EncodeRequest(gold, answer, options), options_.time_limit);
    // A process that failed is not asked again: it may be anywhere.
    if (check.ok()) {
      absl::MutexLock lock(&mutex_);
      idle_.push_back(std::move(worker));
    }
    return check;
  }

 private:
  absl::StatusOr<std::unique_ptr<Worker>> Take() {
    {
      absl::MutexLock lock(&mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Worker> worker = std::move(idle_.back());
        idle_.pop_back();
        return worker;
      }
    }
    return StartWorker();
  }

  absl::StatusOr<std::unique_ptr<Worker>> StartWorker() {
    AlgebraWorkersOptions options;
    {
      absl::MutexLock lock(&mutex_);
      if (options_.program.empty()) {
        PONDER_ASSIGN_OR_RETURN(options_.program, FindProgram());
      }
      options = options_;
    }
    return Worker::Start(options);
  }

  absl::Mutex mutex_;
  AlgebraWorkersOptions options_;
  std::vector<std::unique_ptr<Worker>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<AlgebraWorkers> CreateAlgebraWorkers(AlgebraWorkersOptions options) {
  return std::make_unique<WorkerPool>(std::move(options));
}

}  // namespace ponder::math
