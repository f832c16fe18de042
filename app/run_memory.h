#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "learner/trainer.h"
#include "model/config.h"

namespace ponder {

// The memory that a run's trainer and engine share. It outlives both.
struct RunMemory {
  // On policy, in one process, nothing is generated while an update runs, and what was cached is
  // forgotten behind it: the engine's cache lies where the learner's cache and activations do.
  bool is_shared = false;
  std::vector<kernels::DeviceBuffer> shared;  // one a rank
};
// Says in the ranks where it lies. Takes the kernels' work space too. RESOURCE_EXHAUSTED where the
// memory cannot be had.
absl::StatusOr<RunMemory> TakeRunMemory(const RunConfig& config, const ModelConfig& model,
                                        std::span<TrainerDevice> ranks);

// What a run takes at its peak on each of the learner's devices, worked out from its configuration
// before anything is allocated: the trainer, and the engine where completions are generated in the
// same process.
absl::StatusOr<std::vector<MemoryPlanRow>> PlanRunMemory(const RunConfig& config,
                                                         const ModelConfig& model);

// What the run takes of the host's memory for a GPU (optimizer.offload).
absl::StatusOr<int64_t> OffloadedBytes(const RunConfig& config, const ModelConfig& model);

int64_t TotalBytes(const std::vector<MemoryPlanRow>& plan);

// "1.25 GiB"
std::string HumanGib(int64_t bytes);

// The same run within `limit`: with layers recomputed, then with smaller batches or a smaller
// cache, whatever takes more. None where that does not suffice.
absl::StatusOr<std::optional<RunConfig>> FitRunMemory(RunConfig config, const ModelConfig& model,
                                                      int64_t limit);

// RESOURCE_EXHAUSTED where the plan is more than machine.memory_gib or, where that is 0, than
// ReadMachineMemory says is available, or the smallest of the GPUs has; several devices of the
// processor share its memory. The message says which settings would make it fit.
absl::Status CheckRunMemory(const RunConfig& config, const ModelConfig& model);

}  // namespace ponder
