#include <algorithm>

#include "kernels/kv_cache.h"
#include "kernels/packed_matrix.h"
#include "learner/packing.h"
#include "learner/trainer.h"
#include "model/activations.h"

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

}  // namespace

std::vector<MemoryPlanRow> PlanTrainerMemory(const ModelConfig& config,
                                             const TrainerOptions& options) {
  const ParameterLayout layout = MakeParameterLayout(config);
  const int64_t floats = layout.count * int64_t{sizeof(float)};
  const int64_t rows = options.micro_batch_tokens;
  const int64_t pages = MicroBatchPages(rows);
  const kernels::KvShape cache{.dtype = options.dtype,
                               .kv_heads = config.kv_heads,
                               .head_width = config.head_width,
                               .pages = pages};
  const bool has_reference = options.loss.kl_weight > 0;
  // Log-probs alone, of a reference policy or of later mini-batches (where samplers must be
  // corrected for, which a worker may make necessary at any time), run the forward that keeps
  // nothing.
  const bool scores_alone = has_reference || options.updates_per_step > 1;

  std::vector<MemoryPlanRow> plan = {
      {"master weights", floats},
      {"moments", 2 * floats},
      {"gradients", floats},
      {"working weights", WorkingWeightBytes(layout, options.dtype)},
      {"activations", ActivationBytes(config, options.dtype, rows, pages, options.keep)},
      {"cache", 2 * config.layers * pages * kernels::KvPageBytes(cache)},
      // The hidden states of target rows, their gradient, and what a row of the head's softmax
      // leaves.
      {"logits", rows * (kernels::PaddedInputs(config.width) * kernels::SizeOf(options.dtype) +
                         config.width * int64_t{sizeof(float)} + 8 * int64_t{sizeof(float)})},
      {"kernels", KernelBytes(config, options.dtype, rows)},
      // The program with LibTorch and the tokenizer: measured, not worked out.
      {"program", int64_t{256} << 20},
      // Loading and saving pass through a flat fp32 copy; it is gone while an update runs.
      {"loading and saving", floats},
  };
  if (has_reference)
    plan.push_back({"reference weights", WorkingWeightBytes(layout, options.dtype)});
  if (scores_alone)
    plan.push_back({"scoring", LayOutForward(config, options.dtype, rows, nullptr, nullptr)});
  return plan;
}

}  // namespace ponder
