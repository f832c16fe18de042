#pragma once

#include <string>
#include <utility>

#include "base/status.h"

namespace ponder {

// RUN/lock, held by the process that works on a run for as long as it lives.
class RunLock {
 public:
  // FAILED_PRECONDITION where another holder has it.
  static absl::StatusOr<RunLock> Take(const std::string& run_directory);
  RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RunLock& operator=(RunLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~RunLock();

  // Whether somebody holds it, this process included; looks without taking it, so that a run that
  // starts meanwhile is not refused.
  static bool IsHeld(const std::string& run_directory);

 private:
  explicit RunLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_ = -1;
};

}  // namespace ponder
