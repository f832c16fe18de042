#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/gpu_watch.h"
#include "app/machine_memory.h"
#include "base/status.h"

namespace ponder {

// Something about the machine that matters to a run.
struct Finding {
  enum class Level { kOk, kNote, kWarning };
  std::string name;  // "memory"
  Level level = Level::kOk;
  std::string text;    // what was found
  std::string advice;  // what would make it faster or safer; empty: nothing
};
std::string_view ToString(Finding::Level level);

// Cores that this process may use.
int64_t UsableCores();

// Looks at the machine as this process may use it; `folder` is where runs would be written. Tries
// the sandbox of the code verifier, which takes about a second.
std::vector<Finding> ExamineMachine(const std::string& folder, const std::string& version);

// The chosen one of a list as the kernel writes it: "always [madvise] never" gives "madvise".
std::string ChosenWord(std::string_view list);

// Cores that a quota of control groups amounts to: "200000 100000" gives 2; none for "max ...".
std::optional<double> QuotaCores(std::string_view cpu_max);

// Findings from what was read, for ExamineMachine.
Finding AboutCores(int64_t usable, std::optional<double> quota, double load);
Finding AboutMemory(const MachineMemory& memory);
// As GpuWatch::Open gives it.
Finding AboutGpus(const absl::StatusOr<std::unique_ptr<GpuWatch>>& watch);
Finding AboutHugePages(const std::string& setting);
Finding AboutDisk(uint64_t free_bytes);

}  // namespace ponder
