#include <algorithm>

#include "kernels/packed_matrix.h"
#include "learner/optimizer.h"
#include "learner/packing.h"
#include "learner/trainer.h"
#include "model/activations.h"
#include "model/decoder.h"

namespace ponder {
namespace {

int64_t WorkingWeightBytes(const ParameterLayout& layout, kernels::DType dtype) {
  int64_t bytes = 0;
  for (const Parameter& parameter : layout.parameters) {
    bytes += parameter.role == Parameter::Role::kVector
                 ? parameter.columns * int64_t{sizeof(float)}
                 : kernels::PackedBytes(parameter.rows, parameter.columns, dtype);
  }
  return bytes;
}

// What the widest backward product keeps while it runs: the weights the other way round, the
// gradient rounded and in columns, the input in columns (kernels/cpu/linear.cc).
int64_t KernelBytes(const ModelConfig& config, kernels::DType dtype, int64_t rows) {
  const int64_t outputs = 2 * config.ffn_width;
  return kernels::PackedBytes(config.width, outputs, dtype) +
         2 * rows * kernels::PaddedInputs(outputs) * kernels::SizeOf(dtype) +
         kernels::PackedBytes(config.width, rows, dtype);
}

// Of one decoder: its table of rotary positions, batches on their way to the device and what
// weights pass through when they are packed.
int64_t TableBytes(const ModelConfig& config, int64_t rows) {
  constexpr int64_t kStaging = 1 << 20;
  const int64_t positions = std::min<int64_t>(config.max_positions, 2048);
  return positions * config.head_width * int64_t{sizeof(float)} * 3 / 2 + rows * 64 + kStaging;
}

int64_t CacheBytes(const ModelConfig& config, const TrainerOptions& options, PlannedMemory memory) {
  return KvCache::Bytes(config, options.dtype, MicroBatchPages(options.micro_batch_tokens),
                        memory == PlannedMemory::kGpu);
}

int64_t PlannedActivations(const ModelConfig& config, const TrainerOptions& options) {
  const int64_t rows = options.micro_batch_tokens;
  return ActivationBytes(config, options.dtype, rows, MicroBatchPages(rows), options.keep);
}

}  // namespace

kernels::GpuWork TrainerWork(const ModelConfig& config, const TrainerOptions& options) {
  int64_t largest = 0;
  for (const Parameter& parameter : MakeParameterLayout(config).parameters)
    largest = std::max(largest, parameter.Count());
  return {.dtype = options.dtype,
          .width = config.width,
          .heads = config.heads,
          .kv_heads = config.kv_heads,
          .head_width = config.head_width,
          .ffn_width = config.ffn_width,
          .vocabulary = config.vocabulary,
          .learner_rows = options.micro_batch_tokens,
          .learner_pages = MicroBatchPages(options.micro_batch_tokens),
          .largest_matrix = largest};
}

int64_t TrainerPlaceBytes(const ModelConfig& config, const TrainerOptions& options,
                          PlannedMemory memory) {
  return CacheBytes(config, options, memory) + PlannedActivations(config, options);
}

std::vector<MemoryPlanRow> PlanTrainerMemory(const ModelConfig& config,
                                             const TrainerOptions& options, PlannedMemory memory) {
  const bool is_gpu = memory == PlannedMemory::kGpu;
  const ParameterLayout layout = MakeParameterLayout(config);
  const int64_t floats = layout.count * int64_t{sizeof(float)};
  const int64_t rows = options.micro_batch_tokens;
  const int64_t working = WorkingWeightBytes(layout, options.dtype);
  const bool has_reference = options.loss.kl_weight > 0;
  // Log-probs alone, of a reference policy or of later mini-batches (where samplers must be
  // corrected for, which a worker may make necessary at any time), run the forward that keeps
  // nothing.
  const bool scores_alone = has_reference || options.updates_per_step > 1;

  std::vector<MemoryPlanRow> plan;
  // Offloaded they are the host's, which a GPU's plan is not about.
  if (!options.offload || !is_gpu) {
    plan.push_back({"master weights", floats});
    plan.push_back({"moments", MomentBytes(layout, options.moments)});
  }
  plan.push_back({"gradients", floats});
  plan.push_back({"working weights", working});
  plan.push_back({"activations", PlannedActivations(config, options)});
  plan.push_back({"cache", CacheBytes(config, options, memory)});
  // The hidden states of target rows, their gradient, and what a row of the head's softmax leaves.
  plan.push_back(
      {"logits", rows * (kernels::PaddedInputs(config.width) * kernels::SizeOf(options.dtype) +
                         config.width * int64_t{sizeof(float)} + 8 * int64_t{sizeof(float)})});
  if (is_gpu) {
    plan.push_back({"kernels", kernels::GpuWorkspaceBytes(TrainerWork(config, options)) +
                                   kernels::kBlasScratchBytes});
    plan.push_back({"tables", TableBytes(config, rows) * (has_reference ? 2 : 1)});
  } else {
    plan.push_back({"kernels", KernelBytes(config, options.dtype, rows)});
    // The program with LibTorch and the tokenizer: measured, not worked out.
    plan.push_back({"program", int64_t{256} << 20});
    // Loading and saving pass through a flat fp32 copy; it is gone while an update runs.
    plan.push_back({"loading and saving", floats});
  }
  if (has_reference) plan.push_back({"reference weights", working});
  if (scores_alone) {
    const int64_t scoring = LayOutForward(config, options.dtype, rows, nullptr, nullptr);
    // The decoders of both policies have arrays of their own.
    const bool twice = has_reference && options.updates_per_step > 1;
    plan.push_back({"scoring", twice ? 2 * scoring : scoring});
  }
  return plan;
}

}  // namespace ponder
