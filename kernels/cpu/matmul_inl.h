#pragma once

#include <cstdint>

#include "kernels/cpu/math_inl.h"
#include "kernels/cpu/primitives.h"

namespace ponder::kernels::cpu {

// Panels beside one another in a tile of R rows: as many as the registers hold, a power of two, 8
// at most (one memory stream each; a single row needs that many chains to hide the latency of a
// multiply-add).
template <typename V>
constexpr int PanelsFor(int rows) {
  int panels = 1;
  while (panels < 8 && rows * panels * 2 <= V::kAccumulators) panels *= 2;
  return panels;
}

// The sums of one row and panel, with what joins them at the end.
template <typename V>
[[gnu::always_inline]] inline void StoreSums(const MatMulBlock& block, int64_t row, int64_t panel,
                                             typename V::F sums) {
  const int64_t output = panel * kPanelOutputs;
  const int n = block.outputs - output >= 16 ? 16 : static_cast<int>(block.outputs - output);
  float* y = block.y + row * block.y_stride + output;
  if (block.bias != nullptr) sums = V::Add(sums, V::LoadN(block.bias + output, n));
  if (block.store == Store::kAdd) sums = V::Add(sums, V::LoadN(y, n));
  V::StoreN(y, sums, n);
}

// Compared with oneDNN (PyTorch 2.11, AVX512-BF16, docs/benchmarks.md): equal within 4 % for 256
// rows and more, 1.3 to 6 times as fast for 64 and fewer, where oneDNN leaves memory or threads
// idle.
//
// R rows by P panels, over all inputs. With kFetch the P panels behind these are fetched into the
// second-level cache on the way, so that the arithmetic does not wait for memory.
template <typename V, bool kBf16, int R, int P, bool kFetch>
inline void MatMulTile(const MatMulBlock& block, int64_t row, int64_t panel) {
  using F = typename V::F;
  F acc[R][P];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc[r][p] = V::Zero();
  }
  const int64_t panel_elements = kPanelOutputs * block.inputs;
  if constexpr (kBf16) {
    const uint16_t* x = static_cast<const uint16_t*>(block.x) + row * block.x_stride;
    const uint16_t* w = static_cast<const uint16_t*>(block.panels) + panel * panel_elements;
    for (int64_t k = 0; k < block.inputs; k += 2) {
      typename V::Pairs pairs[P];
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        if constexpr (kFetch) __builtin_prefetch(w + (P + p) * panel_elements + k * 16, 0, 2);
        pairs[p] = V::LoadPairs(w + p * panel_elements + k * 16);
      }
      if constexpr (V::kDotBf16) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const auto pair = V::Set1Pair(x + r * block.x_stride + k);
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) acc[r][p] = V::Dot(acc[r][p], pair, pairs[p]);
        }
      } else {
        F even[P], odd[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          even[p] = V::Low(pairs[p]);
          odd[p] = V::High(pairs[p]);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const auto pair = V::Set1Pair(x + r * block.x_stride + k);
          const F x_even = V::Low(pair);
          const F x_odd = V::High(pair);
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) {
            acc[r][p] = V::Fma(x_odd, odd[p], V::Fma(x_even, even[p], acc[r][p]));
          }
        }
      }
    }
  } else {
    const float* x = static_cast<const float*>(block.x) + row * block.x_stride;
    const float* w = static_cast<const float*>(block.panels) + panel * panel_elements;
    for (int64_t k = 0; k < block.inputs; ++k) {
      F weights[P];
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        if constexpr (kFetch) __builtin_prefetch(w + (P + p) * panel_elements + k * 16, 0, 2);
        weights[p] = V::Load(w + p * panel_elements + k * 16);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const F value = V::Set1(x[r * block.x_stride + k]);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) acc[r][p] = V::Fma(value, weights[p], acc[r][p]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) StoreSums<V>(block, row + r, panel + p, acc[r][p]);
  }
}

// Panels from `panel` on for `groups` runs of R rows from `row` on, P beside one another and the
// rest by halves; panels stay in the inner cache while the rows pass.
template <typename V, bool kBf16, int R, int P>
inline void MatMulPanels(const MatMulBlock& block, int64_t row, int64_t groups, int64_t panel) {
  // With more streams side by side the hardware's prefetchers keep memory busy by themselves.
  constexpr bool kFetch = P == 2;
  const int64_t panels = Panels(block.outputs);
  for (; panel + P <= panels; panel += P) {
    MatMulTile<V, kBf16, R, P, kFetch>(block, row, panel);
    for (int64_t g = 1; g < groups; ++g)
      MatMulTile<V, kBf16, R, P, false>(block, row + g * R, panel);
  }
  if constexpr (P > 1) {
    if (panel < panels) MatMulPanels<V, kBf16, R, P / 2>(block, row, groups, panel);
  }
}

template <typename V, bool kBf16, int R>
inline void MatMulRows(const MatMulBlock& block, int64_t row, int64_t groups) {
  if (groups > 0) MatMulPanels<V, kBf16, R, PanelsFor<V>(R)>(block, row, groups, 0);
}

template <typename V, bool kBf16, int R>
inline void MatMulRowsOf(int64_t size, const MatMulBlock& block, int64_t row, int64_t groups) {
  if (size == R) return MatMulRows<V, kBf16, R>(block, row, groups);
  if constexpr (R > 1) MatMulRowsOf<V, kBf16, R - 1>(size, block, row, groups);
}

template <typename V, bool kBf16>
inline void MatMulOf(const MatMulBlock& block) {
  if (block.rows == 0) return;
  // Groups of nearly equal size: 13 rows run as 7 and 6, not as 12 and a slow 1.
  const int64_t groups = (block.rows + V::kMatMulRows - 1) / V::kMatMulRows;
  const int64_t size = block.rows / groups;
  const int64_t larger = block.rows % groups;  // groups of one row more
  if (larger > 0) MatMulRowsOf<V, kBf16, V::kMatMulRows>(size + 1, block, 0, larger);
  MatMulRowsOf<V, kBf16, V::kMatMulRows>(size, block, larger * (size + 1), groups - larger);
}

template <typename V>
void MatMul(const MatMulBlock& block) {
  if (block.dtype == DType::kBF16) {
    MatMulOf<V, true>(block);
  } else {
    MatMulOf<V, false>(block);
  }
}

}  // namespace ponder::kernels::cpu
