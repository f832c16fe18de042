#pragma once

#include <cstdint>

#include "kernels/cpu/amx_matmul_inl.h"
#include "kernels/cpu/attention_items_inl.h"

// What attention on tiles is made of: products of up to sixteen rows, the orders of keys, values
// and rows that such products read, and the exponential.
//
// The operands are bf16: keys and values as they are, and q, d_out, the weights p and their
// gradients rounded. Sums are fp32. All tiles of rows in a call have one size: the last one may
// reach beyond the rows, into memory that is there but means nothing, since a row of a tile knows
// nothing of the rows beside it.
namespace ponder::kernels::cpu {

// Whether attention runs on tiles: other types and head widths take the kernels of vectors.
static inline bool FitsTiles(const KvShape& shape) {
  return shape.dtype == DType::kBF16 && shape.head_width % 32 == 0;
}

inline constexpr int64_t kTileElements = kTileBytes / 2;  // of bf16
inline constexpr int64_t kMaxPanels = kMaxHeadWidth / 16;
// Kept free behind an array of rows for the last tile.
inline constexpr int64_t kRowsBeyond = kTileRows - 1;

// Tiles of nearly equal size, so that one configuration serves all.
struct RowTiles {
  int64_t count = 0;
  int size = 0;
};
static inline RowTiles TilesOf(int64_t rows) {
  const int64_t count = (rows + kTileRows - 1) / kTileRows;
  return {count, static_cast<int>((rows + count - 1) / count)};
}

// sums[row][16 p + j] = sum over k of inputs[row][k] weights(p)[k][j], for the configured rows.
struct TileProduct {
  const uint16_t* inputs = nullptr;  // [rows, 32 steps]
  int64_t input_stride = 0;          // in elements
  int64_t steps = 0;
  const uint16_t* const* weights = nullptr;  // of each p: tiles, one a step, side by side
  int64_t panels = 0;                        // the number of p
  float* sums = nullptr;                     // [rows, 16 panels]
  int64_t sum_stride = 0;
};

// kAdd: to what `sums` holds. Each sum is one chain over the steps, whatever the panels beside it.
template <typename T, bool kAdd, int P>
inline void MultiplyRun(const TileProduct& x, int64_t panel) {
  asm volatile("" : : : "memory");  // the vectors' stores come before the tiles' loads
  float* const sums = x.sums + panel * 16;
  Unrolled<P>([&]<int p>() {
    if constexpr (kAdd) {
      T::template Load<p>(sums + p * 16, x.sum_stride * 4);
    } else {
      T::template Zero<p>();
    }
  });
  for (int64_t step = 0; step < x.steps; ++step) {
    T::template Load<kInputsTile>(x.inputs + step * 32, x.input_stride * 2);
    Unrolled<P>([&]<int p>() {
      constexpr int kWeights = kWeightsTile + p % 2;
      T::template Load<kWeights>(x.weights[panel + p] + step * kTileElements, kTileRowBytes);
      T::template Dot<p, kInputsTile, kWeights>();
    });
  }
  Unrolled<P>([&]<int p>() { T::template Store<p>(sums + p * 16, x.sum_stride * 4); });
}

template <typename T, bool kAdd, int P = 4>
inline void Multiply(const TileProduct& x, int64_t panel = 0) {
  for (; panel + P <= x.panels; panel += P) MultiplyRun<T, kAdd, P>(x, panel);
  if constexpr (P > 1) {
    if (panel < x.panels) Multiply<T, kAdd, P / 2>(x, panel);
  }
}

// The orders of weights, from four runs of 16 rows of bf16 (pages of keys or values, or rows of an
// item).

// For sums over the 64 rows: [E / 16] panels of two tiles, row 2 i beside row 2 i + 1. Rows from
// `held` on become zeros, whatever lies there. On the way the block `fetch`, or null, comes into
// the cache.
template <typename V>
inline void PairRows(const uint16_t* const* runs, int64_t held, int64_t width,
                     const KeyBlock* fetch, uint16_t* out) {
  alignas(64) static constexpr uint16_t kZeros[kMaxHeadWidth] = {};
  for (int64_t i = 0; i < kBlockKeys / 2; ++i) {
    const int64_t at = i % 8 * 2 * width;
    const uint16_t* const even = 2 * i < held ? runs[i / 8] + at : kZeros;
    const uint16_t* const odd = 2 * i + 1 < held ? runs[i / 8] + at + width : kZeros;
    for (int64_t e = 0; e < width; e += 16) {
      if (fetch != nullptr) {  // a line of 32 keys' elements and one of values: 2 E of each
        const int64_t line = i % 8 * (width / 16) + e / 16;
        FetchLine(static_cast<const uint16_t*>(fetch->keys[i / 8]) + line * 32);
        FetchLine(static_cast<const uint16_t*>(fetch->values[i / 8]) + line * 32);
      }
      V::Zip(even + e, odd + e, out + (e / 16 * 2 + i / 16) * kTileElements + i % 16 * 32);
    }
  }
}

// For sums over the elements: each run as a page of keys has it, [E / 2][row][e % 2].
template <typename V>
inline void TurnRows(const uint16_t* run, int64_t width, uint16_t* out) {
  for (int64_t e = 0; e < width; e += 32) {
    V::Transpose16(reinterpret_cast<const uint32_t*>(run + e), width / 2,
                   reinterpret_cast<uint32_t*>(out + e * 16), 16);
  }
}

// The way back: a page of keys as rows.
template <typename V>
inline void RowsOfKeys(const uint16_t* page, int64_t width, uint16_t* out) {
  for (int64_t e = 0; e < width; e += 32) {
    V::Transpose16(reinterpret_cast<const uint32_t*>(page + e * 16), 16,
                   reinterpret_cast<uint32_t*>(out + e), width / 2);
  }
}

template <typename V>
inline void RoundRow(const float* row, int64_t width, uint16_t* out) {
  for (int64_t e = 0; e < width; e += 32)
    V::StoreOperands(out + e, V::Load(row + e), V::Load(row + e + 16));
}

inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2 = 0.693147180559945309f;

// 2^x within 2 ulp for x in [-126.5, 127]; exactly 0 below, NaN for NaN; 2^0 is exactly 1. Cheaper
// than Exp: no reduction by ln 2, for which the scores' factor has room, and the scaling itself
// makes the zeros. The polynomial has the least largest error on [-1/2, 1/2].
template <typename V>
inline typename V::F Exp2(typename V::F x) {
  const auto clamped = V::Max(V::Set1(-127.0f), x);
  const auto n = V::Round(clamped);
  const auto r = V::Sub(clamped, n);
  auto p = V::Fma(V::Set1(1.5594677825e-4f), r, V::Set1(1.3406643411e-3f));
  p = V::Fma(p, r, V::Set1(9.6176927909e-3f));
  p = V::Fma(p, r, V::Set1(5.5503103882e-2f));
  p = V::Fma(p, r, V::Set1(2.4022652209e-1f));
  p = V::Fma(p, r, V::Set1(6.9314724207e-1f));
  p = V::Fma(p, r, V::Set1(1.0f));
  return V::Mul(p, V::Pow2(n));  // of -127: its exponent's bits are those of zero
}

}  // namespace ponder::kernels::cpu
