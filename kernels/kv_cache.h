#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace ponder::kernels {

// Keys and values live in pages of 16 positions. A sequence names its pages in order, so several
// sequences share the pages of a common prefix. The learner's packed batch uses the same pages: one
// attention kernel, one order of summation.
//
// One layer's arena holds `pages` pages; page p, key/value head h, position s in the page, element
// e:
//   keys:   K[p][h][e / 2][s][e % 2]   for bf16 (pairs of elements side by side: 16 scores at once,
//   no horizontal sum)
//           K[p][h][e][s]              for f32
//   values: V[p][h][s][e]              for both
// On a GPU keys lie like values. A slot is page * 16 + position in the page.
inline constexpr int64_t kPageTokens = 16;

struct KvLayer {
  void* keys = nullptr;    // pages * KvPageBytes
  void* values = nullptr;  // pages * KvPageBytes
};

struct KvShape {
  DType dtype = DType::kBF16;
  int64_t kv_heads = 0;    // K
  int64_t head_width = 0;  // E, even
  int64_t pages = 0;
};

// Bytes of one page of keys, and of one page of values.
inline int64_t KvPageBytes(const KvShape& shape) {
  return kPageTokens * shape.kv_heads * shape.head_width * SizeOf(shape.dtype);
}

inline int64_t KvPagesFor(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace ponder::kernels
