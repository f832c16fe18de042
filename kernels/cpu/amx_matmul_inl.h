#pragma once

#include <cstdint>
#include <utility>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/primitives.h"

// Products on tiles. A bf16 panel, 32 inputs at a time, is a tile of weights: 1 KiB in one piece. A
// sum is one chain over these steps of 32 inputs in ascending order, and a row of a tile knows
// nothing of the rows beside it: so the bits of an output are the same in tiles of any shape.
//
// The eight registers: sums in 0 ... 3, inputs in 4 and 5, weights in 6 and 7. Two tiles of rows by
// two panels load four tiles for four products, the best ratio that eight registers allow; one tile
// of rows meets four panels, since a product takes three times as long as it keeps the unit busy
// and four chains hide that.
namespace ponder::kernels::cpu {

template <int N, typename Body>
[[gnu::always_inline]] inline void Unrolled(Body body) {
  [&]<int... i>(std::integer_sequence<int, i...>) { (body.template operator()<i>(), ...); }
  (std::make_integer_sequence<int, N>());
}

template <int kRowTiles>
constexpr int SumsTile(int row_tile, int panel) {
  return kRowTiles == 2 ? 2 * row_tile + panel : panel;
}
inline constexpr int kInputsTile = 4;
inline constexpr int kWeightsTile = 6;

// Rows of the two tiles of a group of rows.
struct GroupRows {
  int first = 0;
  int second = 0;  // like the first where there is one tile alone
};

// Of products of `rows`: two sums, and inputs, for each tile of rows; whole tiles of weights.
static inline TileConfig ConfigFor(GroupRows rows) {
  TileConfig config;
  for (int tile = 0; tile < kTiles; ++tile) config.row_bytes[tile] = kTileRowBytes;
  for (const int tile : {0, 1, kInputsTile}) config.rows[tile] = static_cast<uint8_t>(rows.first);
  for (const int tile : {2, 3, kInputsTile + 1})
    config.rows[tile] = static_cast<uint8_t>(rows.second);
  for (const int tile : {kWeightsTile, kWeightsTile + 1}) config.rows[tile] = kTileRows;
  return config;
}

// Where the tiles of a group's inputs lie, distances in bytes.
struct TileInputs {
  const char* first = nullptr;
  int64_t row = 0;       // between rows
  int64_t row_tile = 0;  // between the two tiles
  int64_t step = 0;      // between steps of 32 inputs
};

// Weights that are asked for while others are worked on: in each step, some lines of the tiles that
// are needed `lead` steps later.
struct PrefetchPlan {
  int64_t lead = 0;
  const char* next = nullptr;  // the panels after these, or null
  int begin_line = 0;
  int end_line = 0;
};

// A call with few rows waits for memory, and tile loads, sixteen lines each, run too short ahead by
// themselves: 8 KB is twice what a core reads in the time that one line takes. With more rows the
// next panels are fetched little by little while all groups of rows pass over these.
inline constexpr int64_t kPrefetchBytes = 8 << 10;
inline constexpr int kTileLines = 16;

template <int P>
static inline PrefetchPlan PlanPrefetch(int64_t group, int64_t groups, int64_t steps,
                                        const char* next) {
  PrefetchPlan plan;
  plan.lead = groups == 1 ? kPrefetchBytes / (P * kTileBytes) : steps;
  plan.next = next;
  plan.begin_line = static_cast<int>(kTileLines * group / groups);
  plan.end_line = static_cast<int>(kTileLines * (group + 1) / groups);
  return plan;
}

// The sums of one group of rows and P panels over all inputs. kCopying: each tile of inputs is also
// stored to `copy`, tile after tile, while the unit of products works.
template <typename T, int R, int P, bool kCopying>
inline void SumOnTiles(const TileInputs& inputs, GroupRows rows, char* copy, const char* panels,
                       int64_t panel_bytes, const PrefetchPlan& plan) {
  Unrolled<R>(
      [&]<int i>() { Unrolled<P>([&]<int p>() { T::template Zero<SumsTile<R>(i, p)>(); }); });
  const int64_t steps = panel_bytes / kTileBytes;
  for (int64_t step = 0; step < steps; ++step) {
    Unrolled<R>([&]<int i>() {
      T::template Load<kInputsTile + i>(inputs.first + step * inputs.step + i * inputs.row_tile,
                                        inputs.row);
      if constexpr (kCopying) {
        T::template Store<kInputsTile + i>(copy, kTileRowBytes);
        copy += (i == 0 ? rows.first : rows.second) * kTileRowBytes;
      }
    });
    const char* weights = panels + step * kTileBytes;
    Unrolled<P>([&]<int p>() {
      constexpr int kWeights = kWeightsTile + p % 2;
      T::template Load<kWeights>(weights + p * panel_bytes, kTileRowBytes);
      Unrolled<R>(
          [&]<int i>() { T::template Dot<SumsTile<R>(i, p), kInputsTile + i, kWeights>(); });
    });
    const int64_t ahead = step + plan.lead;
    if (ahead >= steps && plan.next == nullptr) continue;
    const char* wanted =
        ahead < steps ? panels + ahead * kTileBytes : plan.next + (ahead - steps) * kTileBytes;
    // Not in a function of its own: GCC drops calls of functions that do nothing but prefetch.
    for (int line = plan.begin_line; line < plan.end_line; ++line) {
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        __builtin_prefetch(wanted + p * panel_bytes + line * 64, 0, 2);  // into the second level
      }
    }
  }
}

// From the sums' registers to y.
template <typename T, typename V, int R, int P>
inline void StoreTiles(const MatMulBlock& block, int64_t row, GroupRows rows, int64_t panel) {
  alignas(64) float sums[R][P][kTileRows * 16];
  Unrolled<R>([&]<int i>() {
    Unrolled<P>([&]<int p>() { T::template Store<SumsTile<R>(i, p)>(sums[i][p], kTileRowBytes); });
  });
  for (int i = 0; i < R; ++i) {
    const int count = i == 0 ? rows.first : rows.second;
    for (int r = 0; r < count; ++r) {
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        StoreSums<V>(block, row + i * kTileRows + r, panel + p, V::Load(sums[i][p] + r * 16));
      }
    }
  }
}

// Groups of rows of one shape, one after the other.
struct RowGroups {
  int64_t first_row = 0;
  int64_t count = 0;
  GroupRows rows;
  bool copying = false;
};

// All groups with the panels from `panel` on, in runs of P, then of P / 2, ...
template <typename T, typename V, int R, int P>
inline void MatMulGroups(const MatMulBlock& block, const RowGroups& groups, int64_t panel) {
  const int64_t panels = Panels(block.outputs);
  const int64_t x_stride = block.x_stride * 2;
  const int64_t row_bytes = block.inputs * 2;
  const int64_t panel_bytes = kPanelOutputs * row_bytes;
  const GroupRows rows = groups.rows;
  const int64_t group_rows = rows.first + (R == 2 ? rows.second : 0);
  for (; panel + P <= panels; panel += P) {
    const char* weights = static_cast<const char*>(block.panels) + panel * panel_bytes;
    const char* next = panel + P < panels ? weights + P * panel_bytes : nullptr;
    for (int64_t group = 0; group < groups.count; ++group) {
      const int64_t row = groups.first_row + group * group_rows;
      const TileInputs inputs = {static_cast<const char*>(block.x) + row * x_stride, x_stride,
                                 kTileRows * x_stride, kTileRowBytes};
      const PrefetchPlan plan =
          PlanPrefetch<P>(group, groups.count, panel_bytes / kTileBytes, next);
      if (!groups.copying) {
        SumOnTiles<T, R, P, false>(inputs, rows, nullptr, weights, panel_bytes, plan);
      } else {
        char* copy = static_cast<char*>(block.scratch) + row * row_bytes;
        const TileInputs copied = {copy, kTileRowBytes, rows.first * kTileRowBytes,
                                   group_rows * kTileRowBytes};
        if (panel == 0) {
          SumOnTiles<T, R, P, true>(inputs, rows, copy, weights, panel_bytes, plan);
        } else {
          SumOnTiles<T, R, P, false>(copied, rows, nullptr, weights, panel_bytes, plan);
        }
      }
      StoreTiles<T, V, R, P>(block, row, rows, panel);
    }
  }
  if constexpr (P > 1) {
    if (panel < panels) MatMulGroups<T, V, R, P / 2>(block, groups, panel);
  }
}

// R tiles of rows by P panels at a time.
template <typename T, typename V, int R, int P>
inline void MatMulGroups(const MatMulBlock& block, int64_t row, int64_t count, GroupRows rows) {
  // The first run of panels copies the inputs into tiles that lie side by side, which are faster to
  // load; most where x_stride is a multiple of 4 KiB, so that all rows of a tile fall on the same
  // few lines of the inner cache. The stores pay from the third run on.
  const bool copying = block.scratch != nullptr && Panels(block.outputs) > 2 * P;
  T::Configure(ConfigFor(rows));
  MatMulGroups<T, V, R, P>(block, {row, count, rows, copying}, 0);
}

template <typename T, typename V>
void MatMulOnTiles(const MatMulBlock& block) {
  if (block.dtype != DType::kBF16) return MatMul<V>(block);
  const int64_t whole = block.rows / (2 * kTileRows);
  const int64_t row = whole * 2 * kTileRows;
  const int rest = static_cast<int>(block.rows - row);
  if (whole > 0) MatMulGroups<T, V, 2, 2>(block, 0, whole, {kTileRows, kTileRows});
  if (rest > kTileRows) {
    MatMulGroups<T, V, 2, 2>(block, row, 1, {kTileRows, rest - kTileRows});
  } else if (rest > 0) {
    MatMulGroups<T, V, 1, 4>(block, row, 1, {rest, rest});
  }
  T::Release();
}

}  // namespace ponder::kernels::cpu
