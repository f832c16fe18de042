#pragma once

#include "kernels/cpu/attention_backward_inl.h"
#include "kernels/cpu/attention_inl.h"
#include "kernels/cpu/logits_inl.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/primitives.h"
#include "kernels/cpu/repack_inl.h"
#include "kernels/cpu/rows_inl.h"

namespace ponder::kernels::cpu {

// 96 rows are a multiple of every tile's rows; their inputs and 256 KB of panels fit in a
// second-level cache of 1 MB or, just, of 512 KB. The panels stay there while all rows pass, so
// that weights are read once. Without products of bf16 the inputs' copy lies there, 240 KB at most,
// and more panels share the work of making it.
template <typename V>
inline constexpr MatMulBlocking kVectorBlocking = {.rows = 96,
                                                   .row_unit = 96,
                                                   .few_rows = V::kMatMulRows,
                                                   .panel_bytes = V::kDotBf16 ? 256 << 10 : 2 << 20,
                                                   .copy_bytes = V::kDotBf16 ? 0 : sizeof(float),
                                                   .copied_elements = V::kDotBf16 ? 0 : 60 << 10};

template <typename V>
constexpr Primitives MakePrimitives() {
  return {
      .mat_mul = MatMul<V>,
      .mat_mul_blocking = kVectorBlocking<V>,
      .rms_norm = RmsNorm<V>,
      .qkv_rope = QkvRope<V>,
      .swiglu = SwiGlu<V>,
      .swiglu_tile = SwiGluOfTile<V>,
      .swiglu_backward = SwiGluBackward<V>,
      .rms_norm_backward = RmsNormBackward<V>,
      .qkv_rope_backward = QkvRopeBackward<V>,
      .attention = Attention<V>,
      .attention_delta = AttentionDelta<V>,
      .attention_backward_queries = AttentionBackwardQueries<V>,
      .attention_backward_pages = AttentionBackwardPages<V>,
      .attention_backward_blocking = {.rows = kMostAttentionBlocking.rows},
      .tile_stats = StatsOfTile<V>,
      .tile_gradient = TileGradient<V>,
      .exp_scaled = ExpScaled<V>,
      .round_to = RoundTo<V>,
      .add = AddTo<V>,
      .adamw = AdamW<V>,
      .pack_panel = PackPanel<V>,
      .unpack_panel = UnpackPanel<V>,
      .transpose_packed = TransposePacked<V>,
      .pack_transposed = PackTransposed<V>,
      .transpose_rows = TransposeRows<V>,
      .squared_norm = SquaredNorm<V>,
  };
}

}  // namespace ponder::kernels::cpu
