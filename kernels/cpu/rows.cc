#include "kernels/cpu/rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int64_t kRowsPerItem = 16;
// Gradients of norm weights are summed over blocks of this many rows, then over the blocks in
// order.
constexpr int64_t kReductionRows = 64;
constexpr int64_t kColumnsPerItem = 64;

int64_t Blocks(int64_t rows) { return (rows + kReductionRows - 1) / kReductionRows; }

// Zeroed partial sums, [blocks, width].
float* TakePartials(const CpuContext& context, int64_t rows, int64_t width) {
  float* partials = context.workspace.Take<float>(Blocks(rows) * width);
  std::fill_n(partials, Blocks(rows) * width, 0.0f);
  return partials;
}

void AddPartials(const CpuContext& context, const float* partials, int64_t rows, int64_t width,
                 float* sum) {
  for (int64_t block = 0; block < Blocks(rows); ++block)
    context.primitives.add(partials + block * width, sum, width);
}

void CheckHeads(const KvShape& shape, int64_t heads) {
  PONDER_CHECK(heads > 0 && shape.kv_heads > 0 && heads % shape.kv_heads == 0,
               fmt::format("H = {}, K = {}", heads, shape.kv_heads));
  PONDER_CHECK(
      shape.head_width > 0 && shape.head_width % 2 == 0 && shape.head_width <= kMaxHeadWidth,
      fmt::format("E = {}", shape.head_width));
}

void CheckSlot(int32_t slot, const KvShape& shape) {
  PONDER_CHECK(slot >= 0 && slot < shape.pages * kPageTokens,
               fmt::format("slot = {}, pages = {}", slot, shape.pages));
}

}  // namespace

void Embed(const CpuContext& context, const EmbedArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.ids != nullptr && args.out != nullptr && args.table.data != nullptr);
  const PackedMatrix& table = args.table;
  const int64_t padded = PaddedInputs(table.inputs);
  ParallelRuns(context.pool, args.rows, kRowsPerItem, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t id = args.ids[row];
      PONDER_CHECK(id >= 0 && id < table.outputs,
                   fmt::format("id = {}, vocabulary = {}", id, table.outputs));
      const int64_t panel = id / kPanelOutputs * kPanelOutputs * padded;
      const int64_t place = id % kPanelOutputs;
      float* out = args.out + row * table.inputs;
      if (table.dtype == DType::kF32) {
        const float* in = static_cast<const float*>(table.data) + panel + place;
        for (int64_t k = 0; k < table.inputs; ++k) out[k] = in[k * kPanelOutputs];
      } else {
        const BF16* in = static_cast<const BF16*>(table.data) + panel + place * 2;
        for (int64_t k = 0; k < table.inputs; ++k)
          out[k] = ToF32(in[k / 2 * 2 * kPanelOutputs + k % 2]);
      }
    }
  });
}

void RmsNorm(const CpuContext& context, const RmsNormArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.weight != nullptr && args.y != nullptr);
  ParallelRuns(context.pool, args.rows, kRowsPerItem,
               [&](int64_t begin, int64_t end) { context.primitives.rms_norm(args, begin, end); });
}

void QkvRope(const CpuContext& context, const QkvRopeArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  CheckHeads(args.shape, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.qkv != nullptr && args.cos_sin != nullptr && args.positions != nullptr &&
               args.slots != nullptr);
  PONDER_CHECK(args.q != nullptr && args.cache.keys != nullptr && args.cache.values != nullptr);
  for (int64_t row = 0; row < args.rows; ++row) {
    CheckSlot(args.slots[row], args.shape);
    PONDER_CHECK(args.positions[row] >= 0);
  }
  ParallelRuns(context.pool, args.rows, kRowsPerItem,
               [&](int64_t begin, int64_t end) { context.primitives.qkv_rope(args, begin, end); });
}

void SwiGlu(const CpuContext& context, const SwiGluArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.gate_up != nullptr && args.y != nullptr);
  ParallelRuns(context.pool, args.rows, kRowsPerItem,
               [&](int64_t begin, int64_t end) { context.primitives.swiglu(args, begin, end); });
}

void EmbedBackward(const CpuContext& context, const EmbedBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.ids != nullptr && args.d_out != nullptr && args.d_table != nullptr);
  for (int64_t row = 0; row < args.rows; ++row) {
    PONDER_CHECK(args.ids[row] >= 0 && args.ids[row] < args.vocabulary,
                 fmt::format("id = {}, vocabulary = {}", args.ids[row], args.vocabulary));
  }
  // By columns: rows with equal ids add in order.
  ParallelRuns(context.pool, args.width, kColumnsPerItem, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < args.rows; ++row) {
      context.primitives.add(args.d_out + row * args.width + begin,
                             args.d_table + args.ids[row] * args.width + begin, end - begin);
    }
  });
}

void RmsNormBackward(const CpuContext& context, const RmsNormBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.weight != nullptr && args.inverse_rms != nullptr &&
               args.d_y != nullptr);
  PONDER_CHECK(args.d_x != nullptr && args.d_weight != nullptr);
  context.workspace.Reset();
  float* partials = TakePartials(context, args.rows, args.width);
  ParallelRuns(context.pool, args.rows, kReductionRows, [&](int64_t begin, int64_t end) {
    context.primitives.rms_norm_backward(args, begin, end,
                                         partials + begin / kReductionRows * args.width);
  });
  AddPartials(context, partials, args.rows, args.width, args.d_weight);
}

void QkvRopeBackward(const CpuContext& context, const QkvRopeBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  CheckHeads(args.shape, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.qkv != nullptr || (args.q_norm == nullptr && args.k_norm == nullptr));
  PONDER_CHECK(args.cos_sin != nullptr && args.positions != nullptr && args.slots != nullptr);
  PONDER_CHECK(args.d_q != nullptr && args.d_keys != nullptr && args.d_values != nullptr &&
               args.d_qkv != nullptr);
  for (int64_t row = 0; row < args.rows; ++row) CheckSlot(args.slots[row], args.shape);
  const int64_t width = args.shape.head_width;
  context.workspace.Reset();
  float* q_partials = args.d_q_norm == nullptr ? nullptr : TakePartials(context, args.rows, width);
  float* k_partials = args.d_k_norm == nullptr ? nullptr : TakePartials(context, args.rows, width);
  ParallelRuns(context.pool, args.rows, kReductionRows, [&](int64_t begin, int64_t end) {
    const int64_t at = begin / kReductionRows * width;
    context.primitives.qkv_rope_backward(args, begin, end,
                                         q_partials == nullptr ? nullptr : q_partials + at,
                                         k_partials == nullptr ? nullptr : k_partials + at);
  });
  if (q_partials != nullptr) AddPartials(context, q_partials, args.rows, width, args.d_q_norm);
  if (k_partials != nullptr) AddPartials(context, k_partials, args.rows, width, args.d_k_norm);
}

void SwiGluBackward(const CpuContext& context, const SwiGluBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.width > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.gate_up != nullptr && args.d_y != nullptr && args.d_gate_up != nullptr);
  ParallelRuns(context.pool, args.rows, kRowsPerItem, [&](int64_t begin, int64_t end) {
    context.primitives.swiglu_backward(args, begin, end);
  });
}

void Follow(const FollowArgs& args) {
  PONDER_CHECK(args.rows >= 0);
  for (int64_t row = 0; row < args.rows; ++row) {
    if (args.sources[row] < 0) continue;
    const int32_t id = args.drawn[args.sources[row]];
    const int32_t* const stops = args.stops + args.stop_begins[row];
    args.ids[row] = id;
    if (std::find(stops, stops + args.stop_counts[row], id) == stops + args.stop_counts[row])
      continue;
    args.ids[row] = 0;
    args.slots[row] = args.spare_slot;
    args.sequences[row].query_count = 0;
  }
}

}  // namespace ponder::kernels::cpu
