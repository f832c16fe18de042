#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

// The memory of the machine as this process may use it.
struct MachineMemory {
  int64_t total = 0;
  // Without swapping, and within the control groups: a process that takes more is killed.
  int64_t available = 0;
  std::optional<int64_t> limit;  // the least of a control group, where one is below the total
};

// `root` is where proc and sys lie; tests give a folder.
absl::StatusOr<MachineMemory> ReadMachineMemory(const std::string& root = "");

// Folders of this process's control groups of version 2, innermost first, the root last.
std::vector<std::string> ControlGroups(const std::string& root = "");

// The text of a small file of the kernel's without its end; empty where there is none.
std::string KernelText(const std::string& path);
// The number that the text begins with.
std::optional<int64_t> KernelNumber(std::string_view text);

}  // namespace ponder
