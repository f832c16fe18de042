// The native part of zygote.py and judge.py, loaded into their interpreter: what happens for every
// candidate. Python code would touch, and after a fork copy, hundreds of pages on the way.
//
// The control socket keeps message boundaries:
//   service -> zygote: JobMessage with descriptors: start a job; "K": kill it; "C": its processor
//   time zygote -> service: "ready"; "C" + u64 nanoseconds; "E" + i32 wait status + u64
//   nanoseconds: the job has ended; "F": its sandbox could not be made (from the job itself)
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "verifiers/code/job_message.h"

extern "C" void PyOS_AfterFork_Child();

namespace ponder {
namespace {

constexpr int kControl = 3;
constexpr int kControlUntilConfined = 5;
constexpr int kFirstSpare = 64;

struct Filter {
  sock_filter instructions[4096];
  sock_fprog program;
};
Filter filter_processes, filter_threads;
uid_t others = 0;  // the box's user for code of others
int own_process = -1, null_device = -1;
int control = kControl;  // moves in a candidate, and is closed before its code is there

bool LoadFilter(const char* path, Filter& filter) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t got = file < 0 ? -1 : read(file, filter.instructions, sizeof(filter.instructions));
  close(file);
  if (got <= 0 || got == sizeof(filter.instructions)) return false;
  filter.program.len = static_cast<unsigned short>(static_cast<size_t>(got) / sizeof(sock_filter));
  filter.program.filter = filter.instructions;
  return true;
}

// User 1, where the box has two users, else its only one.
uid_t UserForOthers() {
  if (seteuid(1) != 0) return 0;
  return seteuid(0) == 0 ? 1 : 0;
}

// Nothing that is executed from here on can gain a capability; those of this process stay.
void DropBoundingSet() {
  for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0;) ++capability;
}

bool Prepare() {
  DropBoundingSet();
  others = UserForOthers();
  return LoadFilter("/ponder/processes.bpf", filter_processes) &&
         LoadFilter("/ponder/threads.bpf", filter_threads);
}

// Gives up every privilege, for good.
bool Confine(const Filter& filter) {
  if (others != 0 && (setgroups(0, nullptr) != 0 || setresgid(others, others, others) != 0 ||
                      setresuid(others, others, others) != 0)) {
    return false;
  }
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter.program) == 0;
}

// 0, 1, 3 and 4 as given, else nothing; 2 nothing; all others closed but the control socket.
bool PlaceDescriptors(const JobMessage& job, const int* descriptors) {
  int spare[6];
  for (int place = 0; place < 5; ++place) {
    int source = null_device;
    for (int i = 0; i < job.descriptor_count; ++i) {
      if (job.places[i] == place) source = descriptors[i];
    }
    spare[place] = fcntl(source, F_DUPFD, kFirstSpare);
    if (spare[place] < 0) return false;
  }
  spare[kControlUntilConfined] = fcntl(kControl, F_DUPFD, kFirstSpare);
  if (spare[kControlUntilConfined] < 0) return false;
  control = spare[kControlUntilConfined];
  for (int place = 0; place < 6; ++place) {
    if (dup3(spare[place], place, place < 3 ? 0 : O_CLOEXEC) < 0) return false;
  }
  control = kControlUntilConfined;
  return syscall(SYS_close_range, 6, ~0U, 0) == 0;
}

// The candidate's /tmp. Mounts are the box's, and a box has one candidate at a time: a namespace of
// mounts and a new file system for each would cost a fifth of the time.
class Scratch {
 public:
  // Mounts an empty one with the job's limits where there is none.
  bool Prepare(const JobMessage& job) {
    if (mounted_ && bytes_ == job.disk_bytes && files_ == job.disk_files) return true;
    if (!Remove()) return false;
    char options[128];
    snprintf(options, sizeof(options), "size=%llu,nr_inodes=%llu,mode=700,uid=%u,gid=%u",
             static_cast<unsigned long long>(job.disk_bytes),
             static_cast<unsigned long long>(job.disk_files), others, others);
    bytes_ = job.disk_bytes;
    files_ = job.disk_files;
    mounted_ = mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
    return mounted_;
  }

  // Once the candidate and all that it started are gone. The next one gets the same file system
  // where nothing is in it: no inode but the folder's, no block.
  bool Clear() {
    struct statfs used = {};
    const timespec epoch[2] = {};
    if (mounted_ && statfs("/tmp", &used) == 0 && used.f_files - used.f_ffree == 1 &&
        used.f_bfree == used.f_blocks && chmod("/tmp", 0700) == 0 &&
        utimensat(AT_FDCWD, "/tmp", epoch, 0) == 0) {
      return true;
    }
    return Remove();
  }

 private:
  bool Remove() {
    if (mounted_ && umount2("/tmp", MNT_DETACH) != 0) return false;
    mounted_ = false;
    return true;
  }

  bool mounted_ = false;
  uint64_t bytes_ = 0, files_ = 0;
};

// What a new process does before it is a candidate.
bool BecomeCandidate(const JobMessage& job, const int* descriptors) {
  if (chdir("/tmp") != 0 || setsid() < 0 || !PlaceDescriptors(job, descriptors)) return false;
  for (int i = 0; i < job.limit_count; ++i) {
    const rlimit limit = {job.limits[i].value, job.limits[i].value};
    if (setrlimit(static_cast<__rlimit_resource>(job.limits[i].resource), &limit) != 0)
      return false;
  }
  return Confine(job.may_fork ? filter_processes : filter_threads);
}

// Fork copies the page tables of no file's mapping that nothing was ever written to, so each
// candidate would fault its way through the interpreter's code again. One byte written, as it is,
// makes it a mapping that is copied; where that is refused, candidates are slower.
void MakeForkCopy(uintptr_t begin, uintptr_t end, int protection) {
  void* const place = reinterpret_cast<void*>(begin);
  if (begin == end || mprotect(place, end - begin, protection | PROT_WRITE) != 0) return;
  volatile char* const byte = static_cast<char*>(place);
  *byte = *byte;
  if (mprotect(place, end - begin, protection) != 0) _exit(1);
}

constexpr uintptr_t kHugePage = uintptr_t{2} << 20;

// Puts a huge page with the same content in the place of one of code and constants: fork and exit
// then have one entry to copy and clear in place of 512. Nothing that this calls may lie in it.
void MakeHuge(uintptr_t begin) {
  char* const room = static_cast<char*>(
      mmap(nullptr, 2 * kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (room == MAP_FAILED) return;
  const uintptr_t room_begin = reinterpret_cast<uintptr_t>(room);
  char* const page = room + (kHugePage - room_begin % kHugePage) % kHugePage;
  void* const place = reinterpret_cast<void*>(begin);
  if (madvise(page, kHugePage, MADV_HUGEPAGE) == 0) {
    memcpy(page, place, kHugePage);
    if (mprotect(page, kHugePage, PROT_READ | PROT_EXEC) == 0) {
      (void)mremap(page, kHugePage, kHugePage, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    }
  }
  // What has moved is no longer there.
  munmap(room, 2 * kHugePage);
}

// Makes what is not written to in a program or library cheap to fork.
int MakeForkCheap(dl_phdr_info* info, size_t, void* is_library) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  // The program's, from the first byte to the last: its segments follow one another.
  uintptr_t huge_begin = UINTPTR_MAX, huge_end = 0;
  bool* const library = static_cast<bool*>(is_library);
  for (int i = 0; i < info->dlpi_phnum && !*library; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    const uintptr_t begin = (info->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    if ((segment.p_flags & PF_W) != 0 || (huge_end != 0 && begin > huge_end)) break;
    huge_begin = std::min(huge_begin, begin);
    huge_end = (info->dlpi_addr + segment.p_vaddr + segment.p_memsz + page - 1) & ~(page - 1);
  }
  if (huge_end == 0) {
    huge_end = huge_begin;  // behind everything
  } else {
    huge_begin = (huge_begin + kHugePage - 1) / kHugePage * kHugePage;
    huge_end = std::max(huge_begin, huge_end / kHugePage * kHugePage);
  }
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t begin = (info->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const uintptr_t end =
        (info->dlpi_addr + segment.p_vaddr + segment.p_memsz + page - 1) & ~(page - 1);
    const int protection = PROT_READ | ((segment.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
    MakeForkCopy(begin, std::max(begin, std::min(end, huge_begin)), protection);
    MakeForkCopy(std::min(end, std::max(begin, huge_end)), end, protection);
  }
  for (uintptr_t place = huge_begin; place < huge_end; place += kHugePage) MakeHuge(place);
  *library = true;
  return 0;
}

uint64_t Nanoseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1'000;
}

class Zygote {
 public:
  // Returns in candidates only, with the kind of their job.
  JobKind Serve() {
    if (send(kControl, "ready", 5, MSG_NOSIGNAL) != 5) _exit(1);
    for (;;) {
      pollfd events[2] = {{kControl, POLLIN, 0}, {child_descriptor_, POLLIN, 0}};
      if (poll(events, 2, -1) < 0) continue;
      if (events[1].revents != 0) ReportEnd();
      if (events[0].revents != 0 && TakeMessage()) return kind_;
    }
  }

 private:
  // True in a candidate.
  bool TakeMessage() {
    char bytes[sizeof(JobMessage) + 1];
    iovec part = {bytes, sizeof(bytes)};
    alignas(cmsghdr) char control[CMSG_SPACE(JobMessage::kMaxDescriptors * sizeof(int))];
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(kControl, &header, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) return false;
    if (got <= 0) _exit(0);  // the service is gone
    if (got == 1 && bytes[0] == 'K') {
      if (child_ > 0) kill(child_, SIGKILL);
      return false;
    }
    if (got == 1 && bytes[0] == 'C') {
      ReportProcessorTime();
      return false;
    }
    if (got != sizeof(JobMessage)) _exit(1);
    JobMessage job;
    memcpy(&job, bytes, sizeof(job));
    int descriptors[JobMessage::kMaxDescriptors];
    const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    if (rights != nullptr) {
      memcpy(descriptors, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
    }
    const bool is_candidate = Start(job, descriptors);
    for (int i = 0; !is_candidate && i < job.descriptor_count; ++i) close(descriptors[i]);
    return is_candidate;
  }

  bool Start(const JobMessage& job, const int* descriptors) {
    // The next fork is process 1 of new process ids; back to our own first, they can only be left
    // from there.
    if (setns(own_process, CLONE_NEWPID) != 0 || unshare(CLONE_NEWPID) != 0) _exit(1);
    const bool has_scratch = scratch_.Prepare(job);
    const pid_t pid = fork();
    if (pid < 0) _exit(1);
    if (pid == 0) {
      if (!has_scratch || !BecomeCandidate(job, descriptors) || close(kControlUntilConfined) != 0) {
        (void)!send(control, "F", 1, MSG_NOSIGNAL);  // else it would look like the code's own end
        _exit(1);
      }
      PyOS_AfterFork_Child();
      kind_ = job.kind;
      return true;
    }
    child_ = pid;
    child_descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (child_descriptor_ < 0) _exit(1);
    return false;
  }

  void ReportEnd() {
    close(child_descriptor_);
    int status = 0;
    rusage used = {};
    while (wait4(child_, &status, 0, &used) < 0 && errno == EINTR) {
    }
    child_ = child_descriptor_ = -1;
    const uint64_t ns = Nanoseconds(used.ru_utime) + Nanoseconds(used.ru_stime);
    char message[13] = {'E'};
    memcpy(message + 1, &status, sizeof(status));
    memcpy(message + 5, &ns, sizeof(ns));
    if (!scratch_.Clear()) _exit(1);
    (void)!send(kControl, message, sizeof(message), MSG_NOSIGNAL);
  }

  void ReportProcessorTime() {
    timespec used = {};
    clockid_t clock = 0;
    if (child_ > 0 && clock_getcpuclockid(child_, &clock) == 0) clock_gettime(clock, &used);
    const uint64_t ns =
        static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
    char message[9] = {'C'};
    memcpy(message + 1, &ns, sizeof(ns));
    (void)!send(kControl, message, sizeof(message), MSG_NOSIGNAL);
  }

  Scratch scratch_;
  pid_t child_ = -1;
  int child_descriptor_ = -1;
  JobKind kind_ = JobKind::kModule;
};

}  // namespace
}  // namespace ponder

// Serves the control socket; returns in each candidate, with the kind of its job. To be called with
// the interpreter's lock held.
extern "C" int PonderServe() {
  using namespace ponder;
  own_process = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  null_device = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (!Prepare() || own_process < 0 || null_device < 0) _exit(1);
  bool is_library = false;  // the first one is the program
  dl_iterate_phdr(MakeForkCheap, &is_library);
  static Zygote zygote;
  return static_cast<int>(zygote.Serve());
}

// For the judge, whose thread of the service lives as long as it is needed: 0 once this process has
// given up every privilege.
extern "C" int PonderConfine() {
  using namespace ponder;
  // Tests that never end must not outlive the service. To give up privileges takes such a wish
  // back.
  return Prepare() && Confine(filter_processes) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 0 : 1;
}

// Becomes the program in descriptor 4.
extern "C" void PonderExecute() {
  char name[] = "program", language[] = "LANG=C.UTF-8";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {language, nullptr};
  syscall(SYS_execveat, 4, "", arguments, environment, AT_EMPTY_PATH);
}
