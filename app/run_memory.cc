#include "app/run_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "app/config_convert.h"
#include "app/device.h"
#include "app/gpu_watch.h"
#include "app/machine_memory.h"
#include "kernels/kv_cache.h"
#include "kernels/packed_matrix.h"
#include "model/activations.h"
#include "model/decoder.h"
#include "model/recordings.h"

namespace ponder {
namespace {

// NCCL's own buffers on a GPU: a guess at the upper end of what its defaults take.
constexpr int64_t kNcclBytes = int64_t{512} << 20;
constexpr int64_t kUsualPrompt = 512;  // tokens, of what is planned before a prompt is known

int64_t BytesOf(const std::vector<MemoryPlanRow>& plan, const std::string& name) {
  const auto row = std::ranges::find(plan, name, &MemoryPlanRow::name);
  return row == plan.end() ? 0 : row->bytes;
}

PlannedMemory MemoryOf(const RunConfig& config) {
  return config.machine.device.starts_with("cuda") ? PlannedMemory::kGpu : PlannedMemory::kHost;
}

// On the learner's own devices.
bool HasEngine(const RunConfig& config) {
  return config.rollout.listen.empty() && config.machine.rollout_device.empty();
}

int64_t RolloutCacheBytes(const RunConfig& config, const TrainerOptions& options,
                          const ModelConfig& model) {
  return KvCache::Bytes(model, options.dtype, kernels::KvPagesFor(config.rollout.cache_tokens),
                        MemoryOf(config) == PlannedMemory::kGpu);
}

// Of the engine's forward, and of the hidden states and tokens that it samples.
int64_t RolloutScratchBytes(const RunConfig& config, const TrainerOptions& options,
                            const ModelConfig& model) {
  int64_t rows = config.rollout.max_step_tokens;
  int64_t sampled = 0;
  if (MemoryOf(config) == PlannedMemory::kGpu) {
    rows = std::max(rows, Recordings::PaddedRows(rows));
    sampled = config.rollout.max_sequences *
              (kernels::PaddedInputs(model.width) * kernels::SizeOf(options.dtype) + 64);
  }
  return LayOutForward(model, options.dtype, rows, nullptr, nullptr) + sampled;
}

bool SharesMemory(const RunConfig& config) {
  return HasEngine(config) && config.rollout.max_staleness == 0;
}

int64_t SharedBytes(const RunConfig& config, const TrainerOptions& options,
                    const ModelConfig& model) {
  return std::max(RolloutCacheBytes(config, options, model),
                  TrainerPlaceBytes(model, options, MemoryOf(config)));
}

// What a GPU's kernels take for themselves.
int64_t WorkspaceBytes(const RunConfig& config, const TrainerOptions& options,
                       const ModelConfig& model) {
  kernels::GpuWork work = TrainerWork(model, options);
  work.is_fast = config.machine.numerics == "fast";
  if (HasEngine(config)) {
    work.sampled_rows = Recordings::PaddedRows(config.rollout.max_sequences);
    work.sampled_keys = std::min(model.max_positions, kUsualPrompt + config.rollout.max_new_tokens);
    work.step_rows = config.rollout.max_step_tokens;
  }
  return kernels::GpuWorkspaceBytes(work);
}

// Of one of machine.rollout_device.
std::vector<MemoryPlanRow> RolloutDeviceRows(const RunConfig& config, const TrainerOptions& options,
                                             const ModelConfig& model, int64_t weights) {
  return {{"working weights", weights},
          {"rollout cache", RolloutCacheBytes(config, options, model)},
          {"rollout scratch", RolloutScratchBytes(config, options, model)}};
}

// What a plan must fit into, and what that is.
struct MemoryBound {
  int64_t bytes = INT64_MAX;
  std::string what;
};

// Of the smallest of them. Where taking the memory is what will say, there is no bound.
MemoryBound FindGpuMemory(const std::vector<std::optional<int>>& devices) {
  MemoryBound bound;
  const absl::StatusOr<std::unique_ptr<GpuWatch>> watch = GpuWatch::Open();
  if (!watch.ok()) return bound;
  const std::vector<GpuInfo> gpus = (*watch)->Gpus();
  for (const std::optional<int>& gpu : devices) {
    const auto number = static_cast<size_t>(*gpu);
    if (number >= gpus.size() || gpus[number].memory_bytes == 0) continue;
    if (gpus[number].memory_bytes < bound.bytes)
      bound = {gpus[number].memory_bytes, fmt::format("the memory of GPU {}", *gpu)};
  }
  return bound;
}

absl::StatusOr<MemoryBound> FindMemoryBound(const MachineKeys& machine) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::optional<int>> devices,
                          ParseDevices(machine.device));
  const bool are_gpus = devices.front().has_value();
  if (are_gpus && machine.memory_gib == 0) return FindGpuMemory(devices);
  MemoryBound bound;
  if (machine.memory_gib > 0) {
    bound = {static_cast<int64_t>(machine.memory_gib * double(1 << 30)), "machine.memory_gib"};
  } else {
    PONDER_ASSIGN_OR_RETURN(const MachineMemory memory, ReadMachineMemory());
    bound = {memory.available, "what is free here"};
    if (memory.limit.has_value())
      bound.what += fmt::format(" (a control group allows {})", HumanGib(*memory.limit));
  }
  if (!are_gpus && devices.size() > 1) {
    bound.bytes /= std::ssize(devices);
    bound.what += fmt::format(", divided by {} devices,", devices.size());
  }
  return bound;
}

}  // namespace

std::string HumanGib(int64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / double(1 << 30));
}

int64_t TotalBytes(const std::vector<MemoryPlanRow>& plan) {
  int64_t total = 0;
  for (const MemoryPlanRow& row : plan) total += row.bytes;
  return total;
}

absl::StatusOr<std::optional<RunConfig>> FitRunMemory(RunConfig config, const ModelConfig& model,
                                                      int64_t limit) {
  // Room for one prompt of some length with its answer.
  const int64_t least = 2 * config.rollout.max_new_tokens + kUsualPrompt;
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(config, model));
    if (TotalBytes(plan) <= limit) return config;
    if (!config.learner.recompute_layers) {
      config.learner.recompute_layers = true;
      continue;
    }
    const bool batches = config.learner.micro_batch_tokens / 2 >= least;
    const bool cache = HasEngine(config) && config.rollout.cache_tokens / 2 >= least;
    if (!batches && !cache) return std::nullopt;
    PONDER_ASSIGN_OR_RETURN(const TrainerOptions options, ToTrainerOptions(config));
    const bool cache_first = RolloutCacheBytes(config, options, model) >
                             TrainerPlaceBytes(model, options, MemoryOf(config));
    int64_t& reduced = cache && (cache_first || !batches) ? config.rollout.cache_tokens
                                                          : config.learner.micro_batch_tokens;
    reduced /= 2;
  }
}

absl::StatusOr<std::vector<MemoryPlanRow>> PlanRunMemory(const RunConfig& config,
                                                         const ModelConfig& model) {
  PONDER_ASSIGN_OR_RETURN(const TrainerOptions options, ToTrainerOptions(config));
  const PlannedMemory memory = MemoryOf(config);
  std::vector<MemoryPlanRow> plan = PlanTrainerMemory(model, options, memory);
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::optional<int>> devices,
                          ParseDevices(config.machine.device));
  if (devices.size() > 1 && devices.front().has_value()) plan.push_back({"NCCL", kNcclBytes});
  if (!HasEngine(config)) {
    if (memory == PlannedMemory::kGpu) return plan;
    const int64_t weights = BytesOf(plan, "working weights");
    if (!config.rollout.listen.empty()) {
      // A version for the workers, and the one before while some still read it.
      plan.push_back({"published weights", 2 * weights});
    } else {
      PONDER_ASSIGN_OR_RETURN(const auto others, ParseDevices(config.machine.rollout_device));
      plan.push_back(
          {"rollout devices",
           std::ssize(others) * TotalBytes(RolloutDeviceRows(config, options, model, weights))});
    }
    return plan;
  }
  if (SharesMemory(config)) {
    std::erase_if(plan, [](const MemoryPlanRow& row) { return row.name == "cache"; });
    *std::ranges::find(plan, "activations", &MemoryPlanRow::name) = {
        "cache and activations, shared", SharedBytes(config, options, model)};
  } else {
    plan.push_back({"rollout cache", RolloutCacheBytes(config, options, model)});
  }
  if (memory == PlannedMemory::kGpu) {
    std::ranges::find(plan, "kernels", &MemoryPlanRow::name)->bytes =
        WorkspaceBytes(config, options, model) + kernels::kBlasScratchBytes;
  }
  plan.push_back({"rollout scratch", RolloutScratchBytes(config, options, model)});
  return plan;
}

absl::StatusOr<int64_t> OffloadedBytes(const RunConfig& config, const ModelConfig& model) {
  if (!config.optimizer.offload) return 0;
  PONDER_ASSIGN_OR_RETURN(TrainerOptions options, ToTrainerOptions(config));
  options.offload = false;
  const auto plan = PlanTrainerMemory(model, options, PlannedMemory::kGpu);
  return BytesOf(plan, "master weights") + BytesOf(plan, "moments");
}

absl::StatusOr<RunMemory> TakeRunMemory(const RunConfig& config, const ModelConfig& model,
                                        std::span<TrainerDevice> ranks) {
  RunMemory memory{.is_shared = SharesMemory(config)};
  PONDER_ASSIGN_OR_RETURN(const TrainerOptions options, ToTrainerOptions(config));
  const int64_t bytes = SharedBytes(config, options, model);
  for (TrainerDevice& rank : ranks) {
    if (MemoryOf(config) == PlannedMemory::kGpu)
      rank.backend->ReserveWorkspace(WorkspaceBytes(config, options, model));
    if (!memory.is_shared) continue;
    absl::StatusOr<kernels::DeviceBuffer> shared =
        kernels::DeviceBuffer::Create(*rank.backend, bytes);
    if (!shared.ok()) return Annotate(shared.status(), "cache and activations");
    rank.place = {shared->As<void>(), bytes};
    memory.shared.push_back(*std::move(shared));
  }
  return memory;
}

namespace {

// GPUs that only generate, whose memory the learner's plan is not about.
absl::Status CheckRolloutDevices(const RunConfig& config, const ModelConfig& model,
                                 const std::vector<MemoryPlanRow>& learner) {
  if (config.machine.rollout_device.empty() || MemoryOf(config) == PlannedMemory::kHost)
    return absl::OkStatus();
  PONDER_ASSIGN_OR_RETURN(const TrainerOptions options, ToTrainerOptions(config));
  PONDER_ASSIGN_OR_RETURN(const auto devices, ParseDevices(config.machine.rollout_device));
  const int64_t bytes =
      TotalBytes(RolloutDeviceRows(config, options, model, BytesOf(learner, "working weights")));
  const MemoryBound bound = FindGpuMemory(devices);
  if (bytes <= bound.bytes) return absl::OkStatus();
  return ResourceExhausted(
      "weights and cache of machine.rollout_device take {}, more than {}: {}; lower "
      "rollout.cache_tokens (now {})",
      HumanGib(bytes), bound.what, HumanGib(bound.bytes), config.rollout.cache_tokens);
}

}  // namespace

absl::Status CheckRunMemory(const RunConfig& config, const ModelConfig& model) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(config, model));
  PONDER_ASSIGN_OR_RETURN(const MemoryBound bound, FindMemoryBound(config.machine));
  const auto& [limit, what] = bound;
  if (TotalBytes(plan) <= limit) return CheckRolloutDevices(config, model, plan);
  PONDER_ASSIGN_OR_RETURN(const std::optional<RunConfig> fitting,
                          FitRunMemory(config, model, limit));
  std::string advice;
  if (fitting.has_value()) {
    advice = fmt::format(
        "it fits with learner.recompute_layers = {}, learner.micro_batch_tokens = {} and "
        "rollout.cache_tokens = {}",
        fitting->learner.recompute_layers, fitting->learner.micro_batch_tokens,
        fitting->rollout.cache_tokens);
  } else {
    advice = fmt::format(
        "lowering learner.micro_batch_tokens (now {}) and rollout.cache_tokens (now {}) does not "
        "suffice: {}{}take a smaller model or shorter answers",
        config.learner.micro_batch_tokens, config.rollout.cache_tokens,
        config.optimizer.moments == "f32" ? "set optimizer.moments = \"8bit\", " : "",
        MemoryOf(config) == PlannedMemory::kGpu && !config.optimizer.offload
            ? "set optimizer.offload = true, "
            : "");
  }
  return ResourceExhausted("the plan of {} is more than {}: {}; {}", HumanGib(TotalBytes(plan)),
                           what, HumanGib(limit), advice);
}

}  // namespace ponder
