#pragma once

#include "kernels/cpu/amx_attention_backward_inl.h"
#include "kernels/cpu/amx_attention_inl.h"
#include "kernels/cpu/amx_matmul_inl.h"
#include "kernels/cpu/primitives_inl.h"

namespace ponder::kernels::cpu {

// For a second-level cache of 2 MB, as every processor with tiles has. Tiles multiply five times as
// fast as vectors, so whatever a block reads from beyond that cache without having asked for it
// before shows. Inputs cannot be asked for early, panels can (amx_matmul_inl.h): so the inputs of a
// block and their copy stay, 640 KB each at most, and the panels pass by. R rows need them at
// 2.2 TFLOP/s / R bytes a second: 384 rows at 5.7 GB/s, of the 10 to 14 that one core gets. A block
// of 512 KB of panels still lies there when the rows that fill no whole tiles follow.
inline constexpr MatMulBlocking kTileBlocking = {.rows = 384,
                                                 .row_unit = 32,
                                                 .few_rows = 32,
                                                 .input_bytes = 640 << 10,
                                                 .panel_bytes = 512 << 10,
                                                 .rows_first = true,
                                                 .copy_bytes = 2};

// Products and attention on the tiles T, everything else with the vectors V.
template <typename T, typename V>
constexpr Primitives MakeAmxPrimitives() {
  Primitives primitives = MakePrimitives<V>();
  primitives.mat_mul = MatMulOnTiles<T, V>;
  primitives.mat_mul_blocking = kTileBlocking;
  primitives.attention = AttentionOnTiles<T, V>;
  primitives.attention_delta = AttentionDeltaOnTiles<V>;
  primitives.attention_backward_queries = AttentionBackwardQueriesOnTiles<T, V>;
  primitives.attention_backward_pages = AttentionBackwardPagesOnTiles<T, V>;
  primitives.attention_backward_blocking = kMostAttentionBlocking;
  return primitives;
}

}  // namespace ponder::kernels::cpu
