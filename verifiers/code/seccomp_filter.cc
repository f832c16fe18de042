#include "verifiers/code/seccomp_filter.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace ponder {
namespace {

// An allow-list: what a new kernel adds is refused until somebody has looked at it.
constexpr const char* kAllowed[] = {
    // Files and descriptors. No mknod but FIFOs, no ownership, no extended attributes.
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "open", "openat", "openat2", "creat", "close", "close_range", "stat", "fstat",
    "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "lseek", "dup", "dup2",
    "dup3", "fcntl", "flock", "fsync", "fdatasync", "truncate", "ftruncate", "fallocate",
    "fadvise64", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "rename", "renameat",
    "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "readlink", "readlinkat", "chmod", "fchmod", "fchmodat", "umask", "utime", "utimes",
    "utimensat", "futimesat", "statfs", "fstatfs", "sendfile", "copy_file_range",
    // Waiting for them.
    "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2",
    // Pairs of sockets within the program (asyncio); no call makes a socket that has an address.
    "socketpair", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown",
    "getsockname", "getpeername", "getsockopt", "setsockopt",
    // Memory.
    "brk", "mmap", "mprotect", "munmap", "mremap", "madvise", "msync", "mincore", "membarrier",
    // Signals and timers.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
    "rt_sigtimedwait", "sigaltstack", "restart_syscall", "pause", "alarm", "getitimer", "setitimer",
    "timer_create", "timer_settime", "timer_gettime", "timer_delete", "timer_getoverrun",
    "timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "times",
    // Processes and threads. `clone` is below.
    "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "kill", "tkill", "tgkill",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid",
    "getresgid", "getgroups", "getpgid", "getpgrp", "getsid", "setpgid", "setsid", "sched_yield",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpriority", "getrlimit",
    "getrusage", "sysinfo", "uname", "arch_prctl", "set_tid_address", "set_robust_list",
    "get_robust_list", "rseq", "futex", "futex_waitv", "getrandom", "getcpu"};

constexpr uint64_t kNewNamespaces = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS |
                                    CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWTIME;

constexpr uint64_t kPrctl[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_DUMPABLE,
                               PR_CAPBSET_READ};
constexpr uint64_t kIoctl[] = {FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ};

class Rules {
 public:
  Rules() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM)), &seccomp_release) {}

  bool Valid() const { return context_ != nullptr; }
  scmp_filter_ctx Context() { return context_.get(); }
  int64_t Allowed() const { return allowed_; }
  int Fault() const { return fault_; }

  template <typename... Conditions>
  void Allow(const char* name, Conditions... conditions) {
    Add(SCMP_ACT_ALLOW, name, conditions...);
    ++allowed_;
  }
  template <typename... Conditions>
  void Add(uint32_t action, const char* name, Conditions... conditions) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return;  // unknown to this libseccomp, so refused
    const int result =
        seccomp_rule_add(context_.get(), action, number, sizeof...(conditions), conditions...);
    if (result != 0 && fault_ == 0) fault_ = -result;
  }

 private:
  std::unique_ptr<void, decltype(&seccomp_release)> context_;
  int64_t allowed_ = 0;
  int fault_ = 0;
};

absl::StatusOr<std::string> Export(Rules& rules) {
  const int file = memfd_create("filter", MFD_CLOEXEC);
  if (file < 0) return Internal("cannot make a file in memory: {}", std::strerror(errno));
  std::string program;
  int error = -seccomp_export_bpf(rules.Context(), file);
  if (error == 0) {
    program.resize(static_cast<size_t>(lseek(file, 0, SEEK_END)));
    if (pread(file, program.data(), program.size(), 0) != static_cast<ssize_t>(program.size())) {
      error = errno;
    }
  }
  close(file);
  if (error != 0) return Internal("the filter of system calls: {}", std::strerror(error));
  return program;
}

}  // namespace

absl::StatusOr<SeccompFilter> MakeSeccompFilter(FilterKind kind) {
  Rules rules;
  if (!rules.Valid()) return Internal("libseccomp cannot make a filter for this architecture");
  seccomp_attr_set(rules.Context(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree, not a list
  for (const char* const name : kAllowed) rules.Allow(name);
  for (const uint64_t option : kPrctl) {
    rules.Add(SCMP_ACT_ALLOW, "prctl", SCMP_A0_64(SCMP_CMP_EQ, option));
  }
  for (const uint64_t request : kIoctl) {
    rules.Add(SCMP_ACT_ALLOW, "ioctl", SCMP_A1_64(SCMP_CMP_EQ, request));
  }
  // Not of processor time: who is killed for that is killed from outside (job.cc).
  rules.Allow("setrlimit", SCMP_A0_64(SCMP_CMP_NE, uint64_t{RLIMIT_CPU}));
  rules.Allow("prlimit64", SCMP_A1_64(SCMP_CMP_NE, uint64_t{RLIMIT_CPU}));
  rules.Add(SCMP_ACT_ALLOW, "prlimit64", SCMP_A1_64(SCMP_CMP_EQ, uint64_t{RLIMIT_CPU}),
            SCMP_A2_64(SCMP_CMP_EQ, uint64_t{0}));
  // FIFOs; not devices.
  rules.Allow("mknod", SCMP_A1_64(SCMP_CMP_MASKED_EQ, uint64_t{S_IFMT}, uint64_t{S_IFIFO}));
  rules.Allow("mknodat", SCMP_A2_64(SCMP_CMP_MASKED_EQ, uint64_t{S_IFMT}, uint64_t{S_IFIFO}));
  // The flags of clone3 lie in memory, where no filter sees them: the C library then takes clone.
  rules.Add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  if (kind == FilterKind::kProcesses) {
    rules.Allow("clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, kNewNamespaces, uint64_t{0}));
    rules.Allow("fork");
    rules.Allow("vfork");
  } else {
    rules.Allow("clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, kNewNamespaces | CLONE_THREAD,
                                    uint64_t{CLONE_THREAD}));
  }
  if (rules.Fault() != 0) {
    return Internal("the filter of system calls: {}", std::strerror(rules.Fault()));
  }
  PONDER_ASSIGN_OR_RETURN(std::string program, Export(rules));
  return SeccompFilter{std::move(program), rules.Allowed()};
}

}  // namespace ponder
