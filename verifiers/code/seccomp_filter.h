#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace ponder {

enum class FilterKind {
  kProcesses,  // programs may start processes
  kThreads,    // only threads: one process is all there is to limit
};

struct SeccompFilter {
  std::string program;    // BPF instructions, as the kernel takes them
  int64_t calls_allowed;  // for people
};

// The system calls that code from a model may make: files, memory, time, pipes, processes. All
// others fail with EPERM, among them sockets, namespaces, mounts, ptrace, bpf, io_uring, keys,
// System V and POSIX message queues and shared memory, memfd. A call of another architecture kills.
absl::StatusOr<SeccompFilter> MakeSeccompFilter(FilterKind kind);

}  // namespace ponder
