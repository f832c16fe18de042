#pragma once

#include <cstdint>

namespace ponder {

enum class JobKind : uint8_t { kModule = 1, kProgram = 2, kCompile = 3, kBinary = 4 };

// An order to a zygote: one message on its control socket, with the job's descriptors beside it.
// Both sides are built together. The shorter messages, one letter each, are in zygote_native.cc.
struct JobMessage {
  static constexpr int kMaxDescriptors = 4;
  static constexpr int kMaxLimits = 8;
  struct Limit {
    int32_t resource;  // RLIMIT_...
    uint64_t value;
  };

  JobKind kind = JobKind::kModule;
  bool may_fork = false;  // else threads only
  int8_t descriptor_count = 0;
  int8_t places[kMaxDescriptors] = {};  // what each becomes: 0, 1, 3 or 4
  int32_t limit_count = 0;
  Limit limits[kMaxLimits] = {};
  uint64_t disk_bytes = 0;  // of /tmp
  uint64_t disk_files = 0;
};

}  // namespace ponder
