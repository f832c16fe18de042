#include "verifiers/code/box.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "verifiers/code/box_child.h"
#include "verifiers/code/file_descriptor.h"

namespace ponder {
namespace {

constexpr int kStartLimitMs = 20'000;  // of the steps before the program runs

// Users that nobody has, for boxes of a privileged process; two a slot. Far from what systems give
// to people and containers; where this process may not give those, lower ones.
constexpr int64_t kUserBases[] = {0x70000000, 60'000};

uint64_t EffectiveCapabilities() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) return std::stoull(line.substr(7), nullptr, 16);
  }
  return 0;
}

// mount, setns and so on; setgid and setuid for the users' map
bool IsPrivileged() {
  constexpr uint64_t kNeeded = uint64_t{1} << 21 | uint64_t{1} << 6 | uint64_t{1} << 7;
  return (EffectiveCapabilities() & kNeeded) == kNeeded;
}

bool WriteProc(pid_t pid, const char* name, const std::string& text) {
  const std::string path = fmt::format("/proc/{}/{}", pid, name);
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file.Get() >= 0 &&
         write(file.Get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool MapUsers(pid_t pid, const std::string& users, const std::string& groups) {
  return WriteProc(pid, "uid_map", users) && WriteProc(pid, "gid_map", groups);
}

// The folders above the path that no step has made yet.
void AddParents(const std::string& path, std::set<std::string>& made, BoxPlan& plan) {
  for (size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (!folder.empty() && made.insert(folder).second) {
      plan.steps.push_back({BoxPlan::Kind::kFolder, folder});
    }
  }
}

void AddStep(BoxPlan::Step step, std::set<std::string>& made, BoxPlan& plan) {
  step.path.erase(0, step.path.find_first_not_of('/'));
  AddParents(step.path, made, plan);
  made.insert(step.path);
  plan.steps.push_back(std::move(step));
}

absl::StatusOr<BoxPlan> MakePlan(const BoxOptions& options) {
  using Kind = BoxPlan::Kind;
  BoxPlan plan;
  std::set<std::string> made;
  AddStep({Kind::kFolder, "/tmp"}, made, plan);
  for (const char* const device : {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}) {
    AddStep({Kind::kDevice, device, device}, made, plan);
  }
  AddStep({Kind::kLink, "/dev/shm", "/tmp"}, made, plan);
  for (const std::string& path : options.mounts) {
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) {
      return FailedPrecondition("the sandbox needs {}, which cannot be read: {}", path,
                                std::strerror(errno));
    }
    AddStep({Kind::kMount, path, path, S_ISDIR(info.st_mode)}, made, plan);
  }
  for (const auto& [path, target] : options.links) AddStep({Kind::kLink, path, target}, made, plan);
  for (const auto& [path, content] : options.files) {
    AddStep({Kind::kFile, path, content}, made, plan);
  }
  for (const std::string& argument : options.command) {
    plan.command.push_back(const_cast<char*>(argument.c_str()));
  }
  plan.command.push_back(nullptr);
  for (const std::string& variable : options.environment) {
    plan.environment.push_back(const_cast<char*>(variable.c_str()));
  }
  plan.environment.push_back(nullptr);
  return plan;
}

absl::StatusOr<BoxReport> ReadReport(int descriptor) {
  struct pollfd event = {.fd = descriptor, .events = POLLIN, .revents = 0};
  int ready = 0;
  while ((ready = poll(&event, 1, kStartLimitMs)) < 0 && errno == EINTR) {
  }
  if (ready <= 0) return Unavailable("no word from a starting sandbox in {} ms", kStartLimitMs);
  BoxReport report;
  const ssize_t got = read(descriptor, &report, sizeof(report));
  if (got == 0) return BoxReport{};  // closed: the program runs
  if (got != sizeof(report)) return Unavailable("a starting sandbox ended without a word");
  report.step[sizeof(report.step) - 1] = '\0';
  return report;
}

absl::Status Refused(const std::string& step, int error) {
  return FailedPrecondition(
      "the sandbox cannot be made: {}: {}. It needs user, mount, process and network namespaces: "
      "check kernel.unprivileged_userns_clone, user.max_user_namespaces and the container's own "
      "seccomp and AppArmor profiles, or run as root",
      step, std::strerror(error));
}

void Reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

struct Pipe {
  FileDescriptor read, write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Internal("cannot make a pipe: {}", std::strerror(errno));
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// The processes of a box on the way up; kills and reaps what it still holds. The first leads a
// group of its own, by which the second is found even where the first died before it could name it.
struct Rising {
  pid_t group = -1;
  pid_t inner = -1;
  ~Rising() {
    if (inner > 0) {
      kill(inner, SIGKILL);
      Reap(inner);
    }
    if (group <= 0) return;
    kill(-group, SIGKILL);
    pid_t reaped = 0;
    while ((reaped = waitpid(-group, nullptr, 0)) > 0 || (reaped < 0 && errno == EINTR)) {
    }
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Box>> Box::Start(const BoxOptions& options) {
  PONDER_ASSIGN_OR_RETURN(BoxPlan plan, MakePlan(options));
  const bool privileged = IsPrivileged();
  constexpr uint64_t kInner =
      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  plan.outer_namespaces = privileged ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
  plan.inner_namespaces = privileged ? kInner | CLONE_NEWUSER : kInner;
  int ends[2];
  if (socketpair(AF_UNIX, options.socket_type | SOCK_CLOEXEC, 0, ends) != 0) {
    return Internal("cannot make a socket pair: {}", std::strerror(errno));
  }
  FileDescriptor ours(ends[0]), theirs(ends[1]);
  PONDER_ASSIGN_OR_RETURN(Pipe outer, MakePipe());
  PONDER_ASSIGN_OR_RETURN(Pipe inner, MakePipe());
  PONDER_ASSIGN_OR_RETURN(Pipe report, MakePipe());
  plan.control = theirs.Get();
  plan.wait_outer = outer.read.Get();
  plan.wait_inner = inner.read.Get();
  plan.report = report.write.Get();

  // Not fork: its handlers (gRPC has some) are not meant for a process that only waits and
  // executes.
  struct clone_args arguments = {};
  arguments.flags = plan.outer_namespaces;
  arguments.exit_signal = SIGCHLD;
  const long child = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (child < 0) return Refused("making the namespaces", errno);
  if (child == 0) RunBoxChild(plan);
  Rising rising{.group = static_cast<pid_t>(child)};
  setpgid(rising.group, rising.group);  // the child does it, too: whoever comes first
  theirs.Close();
  report.write.Close();

  bool own_users = false;
  if (!privileged) {
    const std::string users = fmt::format("0 {} 1", geteuid());
    const std::string groups = fmt::format("0 {} 1", getegid());
    if (!WriteProc(rising.group, "setgroups", "deny") || !MapUsers(rising.group, users, groups)) {
      return Refused("mapping the user", errno);
    }
  }
  if (write(outer.write.Get(), "!", 1) != 1) return Unavailable("a starting sandbox ended");
  PONDER_ASSIGN_OR_RETURN(const BoxReport made, ReadReport(report.read.Get()));
  if (made.inner_pid <= 0) {
    return made.error != 0 ? Refused(made.step, made.error) : Unavailable("a sandbox ended early");
  }
  rising.inner = made.inner_pid;
  Reap(rising.group);
  if (privileged) {
    for (const int64_t base : kUserBases) {
      const std::string map = fmt::format("0 {} 2", base + 2 * options.slot);
      own_users = own_users || MapUsers(rising.inner, map, map);
    }
    if (!own_users && !MapUsers(rising.inner, "0 0 1", "0 0 1")) {
      return Refused("mapping the users", errno);
    }
  }
  if (options.cgroup != nullptr) PONDER_RETURN_IF_ERROR(options.cgroup->Add(rising.inner));
  if (write(inner.write.Get(), "!", 1) != 1) return Unavailable("a starting sandbox ended");
  PONDER_ASSIGN_OR_RETURN(const BoxReport started, ReadReport(report.read.Get()));
  if (started.error != 0) return Refused(started.step, started.error);
  const pid_t pid = std::exchange(rising.inner, -1);
  rising.group = -1;
  return std::unique_ptr<Box>(new Box(ours.Release(), pid, own_users));
}

Box::~Box() {
  kill(pid_, SIGKILL);
  Reap(pid_);
  close(control_);
}

}  // namespace ponder
