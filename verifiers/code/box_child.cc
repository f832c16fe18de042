#include "verifiers/code/box_child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

// Only calls that are safe between clone and exec: no allocation, no locks, no exceptions.
namespace ponder {
namespace {

constexpr char kStage[] = "/tmp";  // any folder that exists; the new root is mounted on it

[[noreturn]] void Fail(const BoxPlan& plan, const char* step, const char* path = "") {
  BoxReport report;
  report.error = errno;
  std::strncat(report.step, step, 40);
  std::strncat(report.step, path, sizeof(report.step) - 60);
  (void)!write(plan.report, &report, sizeof(report));
  _exit(1);
}

void AwaitByte(const BoxPlan& plan, int descriptor) {
  char byte = 0;
  ssize_t got = 0;
  while ((got = read(descriptor, &byte, 1)) < 0 && errno == EINTR) {
  }
  if (got != 1) Fail(plan, "waiting for the service");
}

// The service's own ends of sockets and pipes came along. Kept open here they would hide its death:
// from this process, and from the boxes that are there already.
void CloseOthers(const BoxPlan& plan) {
  int kept[] = {plan.control, plan.wait_outer, plan.wait_inner, plan.report};
  std::sort(std::begin(kept), std::end(kept));
  int begin = 3;
  for (const int descriptor : kept) {
    if (descriptor > begin) {
      syscall(SYS_close_range, static_cast<unsigned>(begin), static_cast<unsigned>(descriptor - 1),
              0);
    }
    begin = std::max(begin, descriptor + 1);
  }
  syscall(SYS_close_range, static_cast<unsigned>(begin), ~0U, 0);
}

bool Protect(const char* path, uint64_t flags) {
  struct mount_attr attributes = {};
  attributes.attr_set = flags;
  return syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attributes,
                 sizeof(attributes)) == 0;
}

void TakeStep(const BoxPlan& plan, const BoxPlan::Step& step) {
  const char* const path = step.path.c_str();
  switch (step.kind) {
    case BoxPlan::Kind::kFolder:
      if (mkdir(path, 0755) != 0 && errno != EEXIST) Fail(plan, "making the folder ", path);
      break;
    case BoxPlan::Kind::kLink:
      if (symlink(step.source.c_str(), path) != 0) Fail(plan, "making the link ", path);
      break;
    case BoxPlan::Kind::kFile: {
      const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
      if (file < 0) Fail(plan, "making the file ", path);
      if (write(file, step.source.data(), step.source.size()) !=
          static_cast<ssize_t>(step.source.size())) {
        Fail(plan, "writing the file ", path);
      }
      close(file);
      break;
    }
    case BoxPlan::Kind::kMount:
    case BoxPlan::Kind::kDevice: {
      if (step.is_folder) {
        if (mkdir(path, 0755) != 0 && errno != EEXIST) Fail(plan, "making the folder ", path);
      } else {
        const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
        if (file < 0) Fail(plan, "making the file ", path);
        close(file);
      }
      if (mount(step.source.c_str(), path, nullptr, MS_BIND | MS_REC, nullptr) != 0) {
        Fail(plan, "mounting ", path);
      }
      const bool device = step.kind == BoxPlan::Kind::kDevice;
      if (!Protect(path, MOUNT_ATTR_NOSUID | (device ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV) |
                             MOUNT_ATTR_RDONLY)) {
        Fail(plan, "making read-only ", path);
      }
      break;
    }
  }
}

void BuildRoot(const BoxPlan& plan) {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    Fail(plan, "making the mounts private");
  }
  if (mount("tmpfs", kStage, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755") != 0) {
    Fail(plan, "mounting a root on ", kStage);
  }
  if (chdir(kStage) != 0) Fail(plan, "entering ", kStage);
  umask(0);
  for (const BoxPlan::Step& step : plan.steps) TakeStep(plan, step);
  // The old root comes to lie over the new one and is taken off.
  if (syscall(SYS_pivot_root, ".", ".") != 0) Fail(plan, "changing the root");
  if (umount2(".", MNT_DETACH) != 0) Fail(plan, "leaving the old root");
  if (chdir("/") != 0) Fail(plan, "entering the new root");
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof(attributes)) != 0) {
    Fail(plan, "making the root read-only");
  }
}

[[noreturn]] void BecomeProgram(const BoxPlan& plan) {
  AwaitByte(plan, plan.wait_inner);
  // User 0 of the box, whoever that is outside. Where the namespace has one user only, groups
  // cannot be changed and need not be.
  (void)!syscall(SYS_setgroups, 0, nullptr);
  if (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0) {
    Fail(plan, "becoming the box's user");
  }
  (void)!sethostname("box", 3);
  setsid();
  for (int signal = 1; signal <= SIGRTMAX; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // 0, 1, 2: nothing; 3: control; 4: the report, until exec.
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int control = fcntl(plan.control, F_DUPFD_CLOEXEC, 10);
  const int report = fcntl(plan.report, F_DUPFD_CLOEXEC, 10);
  if (null < 0 || control < 0 || report < 0) Fail(plan, "opening /dev/null");
  for (int i = 0; i < 3; ++i) dup2(null, i);
  dup2(control, 3);
  dup3(report, 4, O_CLOEXEC);
  syscall(SYS_close_range, 5, ~0U, 0);
  execve(plan.command[0], plan.command.data(), plan.environment.data());
  BoxPlan at_four;
  at_four.report = 4;
  Fail(at_four, "starting ", plan.command[0]);
}

}  // namespace

void RunBoxChild(const BoxPlan& plan) {
  setpgid(0, 0);
  CloseOthers(plan);
  AwaitByte(plan, plan.wait_outer);
  BuildRoot(plan);
  struct clone_args arguments = {};
  arguments.flags = plan.inner_namespaces | CLONE_PARENT;
  const long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (pid < 0) Fail(plan, "making the namespaces");
  if (pid == 0) BecomeProgram(plan);
  BoxReport report;
  report.inner_pid = static_cast<int32_t>(pid);
  if (write(plan.report, &report, sizeof(report)) != sizeof(report)) _exit(1);
  _exit(0);
}

}  // namespace ponder
