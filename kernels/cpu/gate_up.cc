#include "kernels/cpu/gate_up.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/matmul.h"

namespace ponder::kernels::cpu {

void GateUp(const CpuContext& context, const GateUpArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.w.outputs > 0 && args.w.outputs % 2 == 0);
  PONDER_CHECK(args.w.inputs > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.y != nullptr && args.w.data != nullptr);
  const int64_t width = args.w.outputs / 2;  // F
  const int64_t padded = PaddedInputs(args.w.inputs);
  const DType dtype = args.w.dtype;
  const int64_t element = SizeOf(dtype);
  const int64_t y_stride = PaddedInputs(width);
  const int64_t kept_stride = PaddedInputs(2 * width);
  const int64_t panels = Panels(width);
  const ProductCut cut = CutProduct(context, args.rows, panels, padded * element, 2);
  // Up's first output may lie inside a panel, whose other columns are then computed in vain.
  const int64_t offset = width % kPanelOutputs;
  const int64_t stride = (cut.panels + 1) * kPanelOutputs;
  context.pool.ParallelFor(cut.Items(), [&](int64_t item) {
    const int64_t row = cut.Row(item);
    const int64_t rows = std::min(cut.rows, args.rows - row);
    const int64_t column = cut.Panel(item) * kPanelOutputs;
    const int64_t columns = std::min(cut.panels * kPanelOutputs, width - column);
    float* gate = ThreadScratch(2 * cut.rows * stride);
    float* up = gate + cut.rows * stride;
    MatMulTileArgs product = {.x = static_cast<const char*>(args.x) + row * padded * element,
                              .x_stride = padded,
                              .w = args.w,
                              .output = column,
                              .count = columns,
                              .y = gate,
                              .y_stride = stride,
                              .rows = rows};
    MatMulTile(context, product);
    product.output = width + column - offset;
    product.count = columns + offset;
    product.y = up;
    MatMulTile(context, product);
    char* y = static_cast<char*>(args.y) + (row * y_stride + column) * element;
    char* kept = nullptr;
    if (args.kept != nullptr) {
      kept = static_cast<char*>(args.kept) + (row * kept_stride + column) * element;
    }
    context.primitives.swiglu_tile({.gate = gate,
                                    .up = up + offset,
                                    .stride = stride,
                                    .act = dtype,
                                    .y = y,
                                    .y_stride = y_stride,
                                    .kept_gate = kept,
                                    .kept_up = kept == nullptr ? nullptr : kept + width * element,
                                    .kept_stride = kept_stride,
                                    .rows = rows,
                                    .columns = columns});
    if (column + columns < width) return;
    for (int64_t i = 0; i < rows; ++i) {
      std::memset(y + (i * y_stride + columns) * element, 0, (y_stride - width) * element);
    }
  });
}

}  // namespace ponder::kernels::cpu
