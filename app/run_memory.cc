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
#include "model/activations.h"

namespace ponder {
namespace {

// NCCL's own buffers on a GPU: a guess at the upper end of what its defaults take.
constexpr int64_t kNcclBytes = int64_t{512} << 20;

int64_t BytesOf(const std::vector<MemoryPlanRow>& plan, const std::string& name) {
  const auto row = std::ranges::find(plan, name, &MemoryPlanRow::name);
  return row == plan.end() ? 0 : row->bytes;
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
  const int64_t least = 2 * config.rollout.max_new_tokens + 512;
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(config, model));
    if (TotalBytes(plan) <= limit) return config;
    if (!config.learner.recompute_layers) {
      config.learner.recompute_layers = true;
      continue;
    }
    const bool batches = config.learner.micro_batch_tokens / 2 >= least;
    const bool cache = config.rollout.listen.empty() && config.rollout.cache_tokens / 2 >= least;
    if (!batches && !cache) return std::nullopt;
    const bool cache_first = BytesOf(plan, "rollout cache") > BytesOf(plan, "activations");
    int64_t& reduced = cache && (cache_first || !batches) ? config.rollout.cache_tokens
                                                          : config.learner.micro_batch_tokens;
    reduced /= 2;
  }
}

absl::StatusOr<std::vector<MemoryPlanRow>> PlanRunMemory(const RunConfig& config,
                                                         const ModelConfig& model) {
  PONDER_ASSIGN_OR_RETURN(const TrainerOptions options, ToTrainerOptions(config));
  std::vector<MemoryPlanRow> plan = PlanTrainerMemory(model, options);
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::optional<int>> devices,
                          ParseDevices(config.machine.device));
  if (devices.size() > 1 && devices.front().has_value()) plan.push_back({"NCCL", kNcclBytes});
  if (!config.rollout.listen.empty()) {
    // A version for the workers, and the one before while some still read it.
    plan.push_back({"published weights", 2 * BytesOf(plan, "working weights")});
    return plan;
  }
  const kernels::KvShape shape{.dtype = options.dtype,
                               .kv_heads = model.kv_heads,
                               .head_width = model.head_width,
                               .pages = kernels::KvPagesFor(config.rollout.cache_tokens)};
  plan.push_back({"rollout cache", 2 * model.layers * shape.pages * kernels::KvPageBytes(shape)});
  plan.push_back(
      {"rollout scratch",
       LayOutForward(model, options.dtype, config.rollout.max_step_tokens, nullptr, nullptr)});
  return plan;
}

absl::Status CheckRunMemory(const RunConfig& config, const ModelConfig& model) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(config, model));
  PONDER_ASSIGN_OR_RETURN(const MemoryBound bound, FindMemoryBound(config.machine));
  const auto& [limit, what] = bound;
  if (TotalBytes(plan) <= limit) return absl::OkStatus();
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
        "suffice: take a smaller model or shorter answers",
        config.learner.micro_batch_tokens, config.rollout.cache_tokens);
  }
  return ResourceExhausted("the plan of {} is more than {}: {}; {}", HumanGib(TotalBytes(plan)),
                           what, HumanGib(limit), advice);
}

}  // namespace ponder
