#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace ponder::kernels {

// A weight matrix W of `outputs` rows and `inputs` columns (y = x W^T) in the one order that every
// kernel of a backend reads, rollout and learner alike. Inputs are padded to a multiple of 32 and
// outputs to one of 16, with zeros.
//
// On the CPU (MatrixOrder::kPanels) panels of 16 outputs; inside a panel the inputs run in pairs,
// for each pair the 16 outputs' two values side by side:
//   bf16: element (n, k) at (n / 16) * PanelElements + (k / 2) * 32 + (n % 16) * 2 + k % 2
//   f32:  element (n, k) at (n / 16) * PanelElements + k * 16 + n % 16
// where PanelElements = 16 * PaddedInputs. A bf16 panel is at once the operand of VDPBF16PS and, 16
// pairs at a time, a tile of AMX. On a GPU (MatrixOrder::kRows) row after row: element (n, k) at n
// * PaddedInputs + k. Either way 16 outputs that begin at a multiple of 16 lie together.
enum class MatrixOrder { kPanels, kRows };

struct PackedMatrix {
  void* data = nullptr;
  DType dtype = DType::kBF16;
  int64_t outputs = 0;
  int64_t inputs = 0;
};

inline constexpr int64_t kPanelOutputs = 16;
inline constexpr int64_t kInputPadding = 32;

inline int64_t PaddedInputs(int64_t inputs) {
  return (inputs + kInputPadding - 1) / kInputPadding * kInputPadding;
}
inline int64_t Panels(int64_t outputs) { return (outputs + kPanelOutputs - 1) / kPanelOutputs; }
inline int64_t PackedElements(int64_t outputs, int64_t inputs) {
  return Panels(outputs) * kPanelOutputs * PaddedInputs(inputs);
}
inline int64_t PackedBytes(int64_t outputs, int64_t inputs, DType dtype) {
  return PackedElements(outputs, inputs) * SizeOf(dtype);
}
inline int64_t PackedIndex(int64_t n, int64_t k, int64_t inputs, DType dtype, MatrixOrder order) {
  if (order == MatrixOrder::kRows) return n * PaddedInputs(inputs) + k;
  const int64_t panel = n / kPanelOutputs * kPanelOutputs * PaddedInputs(inputs);
  return dtype == DType::kBF16 ? panel + k / 2 * 32 + n % 16 * 2 + k % 2 : panel + k * 16 + n % 16;
}

}  // namespace ponder::kernels
