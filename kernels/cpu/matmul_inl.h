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

// Inputs [begin, end) of a block. A sum over earlier inputs waits in memory, where nothing is lost:
// the chain goes on as if it had not been cut.
struct MatMulPart {
  const MatMulBlock& block;
  const void* x = nullptr;  // [rows, x_stride] of these inputs
  int64_t x_stride = 0;     // in elements
  int64_t begin = 0;
  int64_t end = 0;
  float* sums = nullptr;  // [panels, rows, 16], where a block has several parts
};

static inline float* SumsAt(const MatMulPart& part, int64_t row, int64_t panel) {
  return part.sums + (panel * part.block.rows + row) * kPanelOutputs;
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

// acc += the products of one input, of R rows x_stride apart, and its weights.
template <typename V, int R, int P>
[[gnu::always_inline]] inline void AddProducts(const float* x, int64_t x_stride,
                                               const typename V::F (&weights)[P],
                                               typename V::F (&acc)[R][P]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const auto value = V::Set1(x[r * x_stride]);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc[r][p] = V::Fma(value, weights[p], acc[r][p]);
  }
}

// One panel or two are alone with memory: while they are worked on, the ones behind are fetched
// into the second-level cache, some of them by each group of rows, so that no group waits for all.
// With more streams side by side the hardware's prefetchers keep memory busy by themselves.
template <int P>
inline constexpr bool kFetches = P <= 2;
struct PanelFetch {
  const char* at = nullptr;  // in the first panel; may lie behind the matrix
  int64_t step = 0;          // bytes a line of weights, of 64 bytes
  int64_t panel_bytes = 0;
};

// Compared with oneDNN (PyTorch 2.11, AVX512-BF16, docs/benchmarks.md): equal within 4 % for 256
// rows and more, 1.3 to 6 times as fast for 64 and fewer, where oneDNN leaves memory or threads
// idle.
//
// R rows by P panels. Where the instruction set has no product of bf16, x is fp32.
template <typename V, bool kBf16, int R, int P>
inline void MatMulTile(const MatMulPart& part, int64_t row, int64_t panel, PanelFetch fetch) {
  using F = typename V::F;
  const MatMulBlock& block = part.block;
  F acc[R][P];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      acc[r][p] = part.begin == 0 ? V::Zero() : V::Load(SumsAt(part, row + r, panel + p));
    }
  }
  const int64_t panel_elements = kPanelOutputs * block.inputs;
  const int64_t inputs = part.end - part.begin;
  if constexpr (kBf16 && V::kDotBf16) {
    const uint16_t* x = static_cast<const uint16_t*>(part.x) + row * part.x_stride;
    const uint16_t* w = static_cast<const uint16_t*>(block.panels) + panel * panel_elements +
                        part.begin * kPanelOutputs;
    for (int64_t k = 0; k < inputs; k += 2, fetch.at += fetch.step) {
      typename V::Pairs pairs[P];
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        if constexpr (kFetches<P>) __builtin_prefetch(fetch.at + p * fetch.panel_bytes, 0, 2);
        pairs[p] = V::LoadPairs(w + p * panel_elements + k * 16);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const auto pair = V::Set1Pair(x + r * part.x_stride + k);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) acc[r][p] = V::Dot(acc[r][p], pair, pairs[p]);
      }
    }
  } else if constexpr (kBf16) {
    const float* x = static_cast<const float*>(part.x) + row * part.x_stride;
    const uint16_t* w = static_cast<const uint16_t*>(block.panels) + panel * panel_elements +
                        part.begin * kPanelOutputs;
    for (int64_t k = 0; k < inputs; k += 2, fetch.at += fetch.step) {
      F weights[P];
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        if constexpr (kFetches<P>) __builtin_prefetch(fetch.at + p * fetch.panel_bytes, 0, 2);
        weights[p] = V::Low(V::LoadPairs(w + p * panel_elements + k * 16));
      }
      AddProducts<V, R, P>(x + k, part.x_stride, weights, acc);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        weights[p] = V::High(V::LoadPairs(w + p * panel_elements + k * 16));
      }
      AddProducts<V, R, P>(x + k + 1, part.x_stride, weights, acc);
    }
  } else {
    const float* x = static_cast<const float*>(part.x) + row * part.x_stride;
    const float* w = static_cast<const float*>(block.panels) + panel * panel_elements +
                     part.begin * kPanelOutputs;
    for (int64_t k = 0; k < inputs; ++k, fetch.at += fetch.step) {
      F weights[P];
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        if constexpr (kFetches<P>) __builtin_prefetch(fetch.at + p * fetch.panel_bytes, 0, 2);
        weights[p] = V::Load(w + p * panel_elements + k * 16);
      }
      AddProducts<V, R, P>(x + k, part.x_stride, weights, acc);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      if (part.end == block.inputs) {
        StoreSums<V>(block, row + r, panel + p, acc[r][p]);
      } else {
        V::Store(SumsAt(part, row + r, panel + p), acc[r][p]);
      }
    }
  }
}

// Panels from `panel` on for `groups` runs of R rows from `row` on, P beside one another and the
// rest by halves; panels stay in the inner cache while the rows pass.
template <typename V, bool kBf16, int R, int P>
inline void MatMulPanels(const MatMulPart& part, int64_t row, int64_t groups, int64_t panel) {
  const int64_t panels = Panels(part.block.outputs);
  const int64_t input_bytes = kPanelOutputs * (kBf16 ? 2 : 4);
  const int64_t panel_bytes = input_bytes * part.block.inputs;
  const int64_t part_bytes = input_bytes * (part.end - part.begin);
  for (; panel + P <= panels; panel += P) {
    const char* const next = static_cast<const char*>(part.block.panels) +
                             (panel + P) * panel_bytes + part.begin * input_bytes;
    for (int64_t g = 0; g < groups; ++g) {
      MatMulTile<V, kBf16, R, P>(
          part, row + g * R, panel,
          {.at = next + g * part_bytes / groups, .step = 64 / groups, .panel_bytes = panel_bytes});
    }
  }
  if constexpr (P > 1) {
    if (panel < panels) MatMulPanels<V, kBf16, R, P / 2>(part, row, groups, panel);
  }
}

template <typename V, bool kBf16, int R>
inline void MatMulRows(const MatMulPart& part, int64_t row, int64_t groups) {
  if (groups > 0) MatMulPanels<V, kBf16, R, PanelsFor<V>(R)>(part, row, groups, 0);
}

template <typename V, bool kBf16, int R>
inline void MatMulRowsOf(int64_t size, const MatMulPart& part, int64_t row, int64_t groups) {
  if (size == R) return MatMulRows<V, kBf16, R>(part, row, groups);
  if constexpr (R > 1) MatMulRowsOf<V, kBf16, R - 1>(size, part, row, groups);
}

template <typename V, bool kBf16>
inline void MatMulOf(const MatMulPart& part) {
  if (part.block.rows == 0) return;
  // Groups of nearly equal size: 13 rows run as 7 and 6, not as 12 and a slow 1.
  const int64_t groups = (part.block.rows + V::kMatMulRows - 1) / V::kMatMulRows;
  const int64_t size = part.block.rows / groups;
  const int64_t larger = part.block.rows % groups;  // groups of one row more
  if (larger > 0) MatMulRowsOf<V, kBf16, V::kMatMulRows>(size + 1, part, 0, larger);
  MatMulRowsOf<V, kBf16, V::kMatMulRows>(size, part, larger * (size + 1), groups - larger);
}

// Inputs [begin, end) of bf16 rows, widened to fp32: once for all panels, where each tile would do
// it again.
template <typename V>
inline void WidenInputs(const MatMulBlock& block, int64_t begin, int64_t end, float* copy,
                        int64_t stride) {
  for (int64_t row = 0; row < block.rows; ++row) {
    const uint16_t* x = static_cast<const uint16_t*>(block.x) + row * block.x_stride;
    for (int64_t k = begin; k < end; k += 16) {
      V::Store(copy + row * stride + k - begin, V::LoadBf16(x + k));
    }
  }
}

template <typename V>
inline void MatMulWidened(const MatMulBlock& block) {
  const int64_t most = block.copied_inputs;
  const int64_t stride = most + kCopyPadding / static_cast<int64_t>(sizeof(float));
  float* copy = static_cast<float*>(block.scratch);
  MatMulPart part = {block};
  part.x = copy;
  part.x_stride = stride;
  part.sums = copy + block.rows * stride;
  for (int64_t begin = 0; begin < block.inputs; begin += most) {
    part.begin = begin;
    part.end = begin + most < block.inputs ? begin + most : block.inputs;
    WidenInputs<V>(block, part.begin, part.end, copy, stride);
    MatMulOf<V, true>(part);
  }
}

template <typename V>
void MatMul(const MatMulBlock& block) {
  if constexpr (!V::kDotBf16) {
    if (block.dtype == DType::kBF16) return MatMulWidened<V>(block);
  }
  const MatMulPart whole = {.block = block,
                            .x = block.x,
                            .x_stride = block.x_stride,
                            .begin = 0,
                            .end = block.inputs,
                            .sums = nullptr};
  if (block.dtype == DType::kF32) return MatMulOf<V, false>(whole);
  if constexpr (V::kDotBf16) MatMulOf<V, true>(whole);
}

}  // namespace ponder::kernels::cpu
