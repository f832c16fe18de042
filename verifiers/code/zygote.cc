#include "verifiers/code/zygote.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

namespace ponder {
namespace {

constexpr int kReadyLimitMs = 20'000;  // for the interpreter to start, on a loaded machine
constexpr int64_t kMiB = int64_t{1} << 20;
// What the interpreter itself takes, beside the candidate's share.
constexpr int64_t kOwnMemory = 48 * kMiB;
constexpr int64_t kOwnAddressSpace = 32 * kMiB;  // beside what the interpreter has at the fork
constexpr int64_t kOwnProcesses = 2;  // the zygote, and the candidate before it loads the code
constexpr int64_t kStack = 64 * kMiB;

int64_t MemoryOf(const CodeLimits& limits, JobKind kind) {
  return kMiB * (kind == JobKind::kCompile ? limits.compile_memory_mib : limits.memory_mib);
}

int64_t AddressSpaceOf(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  int64_t pages = 0;
  file >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

// Kernel limits on a process. Where a control group bounds the tree, the address space is only to
// turn one huge allocation into an error within the program.
void AddLimits(const CodeLimits& limits, bool has_group, int64_t warm_bytes, JobMessage& job) {
  const int64_t memory = MemoryOf(limits, job.kind);
  const double cpu_s = job.kind == JobKind::kCompile ? limits.compile_cpu_s : limits.cpu_s;
  const auto add = [&](int resource, int64_t value) {
    job.limits[job.limit_count++] = {resource, static_cast<uint64_t>(value)};
  };
  add(RLIMIT_CORE, 0);
  add(RLIMIT_CPU, static_cast<int64_t>(std::ceil(cpu_s)) + 1);
  add(RLIMIT_FSIZE, static_cast<int64_t>(job.disk_bytes));
  add(RLIMIT_NOFILE, std::max<int64_t>(limits.open_files, 8));
  add(RLIMIT_MEMLOCK, 0);
  add(RLIMIT_STACK, kStack);
  if (memory > 0) add(RLIMIT_AS, (has_group ? 3 * memory : memory) + kOwnAddressSpace + warm_bytes);
  if (limits.processes > 0) add(RLIMIT_NPROC, limits.processes + kOwnProcesses);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Zygote>> Zygote::Start(const Sandbox& sandbox, int64_t slot,
                                                      bool with_compiler) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Cgroup> cgroup, sandbox.MakeCgroup(slot, with_compiler));
  if (cgroup != nullptr && sandbox.Limits().processes > 0) {
    PONDER_RETURN_IF_ERROR(cgroup->SetProcesses(sandbox.Limits().processes + kOwnProcesses));
  }
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Box> box,
                          sandbox.StartZygote(slot, with_compiler, cgroup.get()));
  std::unique_ptr<Zygote> zygote(new Zygote(sandbox, std::move(cgroup), std::move(box)));
  struct pollfd event = {.fd = zygote->Descriptor(), .events = POLLIN, .revents = 0};
  int ready = 0;
  while ((ready = poll(&event, 1, kReadyLimitMs)) < 0 && errno == EINTR) {
  }
  char word[256];
  const ssize_t got = ready > 0 ? recv(zygote->Descriptor(), word, sizeof(word), 0) : -1;
  if (got != 5 || std::memcmp(word, "ready", 5) != 0) {
    return Unavailable("the sandbox's interpreter did not start within {} ms", kReadyLimitMs);
  }
  zygote->warm_bytes_ = AddressSpaceOf(zygote->Pid());
  return zygote;
}

absl::Status Zygote::Send(std::string_view message, const std::vector<int>& descriptors) {
  struct iovec part = {.iov_base = const_cast<char*>(message.data()), .iov_len = message.size()};
  alignas(struct cmsghdr) char control[CMSG_SPACE(JobMessage::kMaxDescriptors * sizeof(int))] = {};
  struct msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const size_t bytes = descriptors.size() * sizeof(int);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), descriptors.data(), bytes);
  }
  ssize_t sent = 0;
  while ((sent = sendmsg(box_->Control(), &header, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 &&
         errno == EINTR) {
  }
  if (sent < 0) return Unavailable("a sandbox takes no orders: {}", std::strerror(errno));
  return absl::OkStatus();
}

absl::Status Zygote::StartJob(const JobOptions& job) {
  const CodeLimits& limits = sandbox_.Limits();
  const int64_t memory = MemoryOf(limits, job.kind);
  if (cgroup_ != nullptr && memory > 0 && memory != memory_limit_) {
    PONDER_RETURN_IF_ERROR(cgroup_->SetMemory(memory + kOwnMemory));
    memory_limit_ = memory;
  }
  // Without a group nothing adds up the memory of several processes, so there is to be one only.
  // The compiler's driver needs its children; they are ours, not the candidate's.
  const bool processes =
      cgroup_ != nullptr || limits.memory_mib == 0 || job.kind == JobKind::kCompile;
  JobMessage message{.kind = job.kind,
                     .may_fork = processes,
                     .disk_bytes = static_cast<uint64_t>(kMiB * limits.disk_mib *
                                                         (job.kind == JobKind::kCompile ? 4 : 1)),
                     .disk_files = static_cast<uint64_t>(limits.files)};
  std::vector<int> descriptors;
  for (const auto& [ours, place] : job.descriptors) {
    descriptors.push_back(ours);
    message.places[message.descriptor_count++] = static_cast<int8_t>(place);
  }
  AddLimits(limits, cgroup_ != nullptr, warm_bytes_, message);
  return Send({reinterpret_cast<const char*>(&message), sizeof(message)}, descriptors);
}

absl::Status Zygote::AskProcessorTime() { return Send("C"); }

absl::Status Zygote::Kill() { return Send("K"); }

absl::StatusOr<ZygoteEvent> Zygote::Read() {
  char bytes[64];
  const ssize_t got = recv(box_->Control(), bytes, sizeof(bytes), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return ZygoteEvent{};
  ZygoteEvent event;
  if (got == 9 && bytes[0] == 'C') {
    event.kind = ZygoteEvent::Kind::kProcessorTime;
    std::memcpy(&event.processor_ns, bytes + 1, sizeof(event.processor_ns));
    return event;
  }
  if (got == 13 && bytes[0] == 'E') {
    event.kind = ZygoteEvent::Kind::kEnded;
    std::memcpy(&event.status, bytes + 1, sizeof(event.status));
    std::memcpy(&event.processor_ns, bytes + 5, sizeof(event.processor_ns));
    return event;
  }
  if (got == 1 && bytes[0] == 'F') return Unavailable("a program's sandbox could not be made");
  return Unavailable("a sandbox has ended");
}

}  // namespace ponder
