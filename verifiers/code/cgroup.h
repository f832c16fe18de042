#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace ponder {

// A control group of a slot: memory and processes of everything in it together, and its processor
// time. Removed with the object, once what was in it has ended.
class Cgroup {
 public:
  // Below this process's own groups, of version 2 or 1, wherever this process may make one.
  // UNAVAILABLE says why none could be had.
  static absl::StatusOr<std::unique_ptr<Cgroup>> Create(const std::string& name);
  // Removes those that a process left which was killed: its number stands behind `prefix` in their
  // names.
  static void RemoveLeftovers(const std::string& prefix);
  virtual ~Cgroup() = default;

  virtual int Version() const = 0;
  virtual absl::Status Add(pid_t process) = 0;
  virtual absl::Status SetMemory(int64_t bytes) = 0;
  virtual absl::Status SetProcesses(int64_t count) = 0;
  // -1 where it cannot be read.
  virtual int64_t ProcessorNs() const = 0;
  virtual int64_t KilledForMemory() const = 0;  // processes so far
};

}  // namespace ponder
