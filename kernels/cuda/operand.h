#pragma once

#include <cstdint>

namespace ponder::kernels::cuda {

// Whether an operand's lines run along k (A [m][k], B [n][k]) or along the other index (A [k][m],
// B [k][n]).
enum class Major { kK, kOther };

// An operand in global memory: `lines` lines of `width` elements (a multiple of 16 bytes, stored
// one behind the other).
template <typename T>
struct Operand {
  const T* data = nullptr;
  int64_t lines = 0;
  int64_t width = 0;
};

}  // namespace ponder::kernels::cuda
