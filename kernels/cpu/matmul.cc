#include "kernels/cpu/matmul.h"

#include <algorithm>

namespace ponder::kernels::cpu {
namespace {

// Rows of a block: a multiple of every tile's rows; their inputs and a block of panels share the
// second-level cache.
constexpr int64_t kBlockRows = 96;
// Bytes of panels in a block: with 96 rows of inputs they fit in a second-level cache of 1 MB or,
// just, of 512 KB.
constexpr int64_t kBlockPanelBytes = 256 << 10;
// Items for each thread, so that none waits long for the last.
constexpr int64_t kItemsPerThread = 4;

const char* PanelAt(const PackedMatrix& w, int64_t output) {
  return static_cast<const char*>(w.data) + output * PaddedInputs(w.inputs) * SizeOf(w.dtype);
}

}  // namespace

ProductCut CutProduct(const CpuContext& context, int64_t rows, int64_t panels,
                      int64_t panel_bytes) {
  const int64_t row_items = (rows + kBlockRows - 1) / kBlockRows;
  const int64_t wanted = (kItemsPerThread * context.pool.Threads() + row_items - 1) / row_items;
  const int64_t step = std::clamp<int64_t>(kBlockPanelBytes / panel_bytes, 1, panels);
  // Whole groups of 8 panels: what one row computes side by side.
  return {kBlockRows, std::min(step, std::max<int64_t>(8, panels / wanted / 8 * 8))};
}

void MatMul(const CpuContext& context, const MatMulArgs& args) {
  if (args.rows == 0 || args.w.outputs == 0) return;
  const int64_t padded = PaddedInputs(args.w.inputs);
  const int64_t panels = Panels(args.w.outputs);
  const ProductCut cut =
      CutProduct(context, args.rows, panels, kPanelOutputs * padded * SizeOf(args.w.dtype));
  const int64_t row_blocks = cut.RowItems(args.rows);
  // Rows run innermost: the weights of a block are read once.
  context.pool.ParallelFor(row_blocks * cut.PanelItems(panels), [&](int64_t item) {
    const int64_t row = item % row_blocks * cut.rows;
    const int64_t output = item / row_blocks * cut.panels * kPanelOutputs;
    MatMulBlock block;
    block.x = static_cast<const char*>(args.x) + row * args.x_stride * SizeOf(args.w.dtype);
    block.x_stride = args.x_stride;
    block.panels = PanelAt(args.w, output);
    block.dtype = args.w.dtype;
    block.inputs = padded;
    block.rows = std::min(cut.rows, args.rows - row);
    block.outputs = std::min(cut.panels * kPanelOutputs, args.w.outputs - output);
    block.bias = args.bias == nullptr ? nullptr : args.bias + output;
    block.y = args.y + row * args.y_stride + output;
    block.y_stride = args.y_stride;
    block.store = args.store;
    context.primitives.mat_mul(block);
  });
}

void MatMulTile(const CpuContext& context, const MatMulTileArgs& args) {
  MatMulBlock block;
  block.x = args.x;
  block.x_stride = args.x_stride;
  block.panels = PanelAt(args.w, args.output);
  block.dtype = args.w.dtype;
  block.inputs = PaddedInputs(args.w.inputs);
  block.rows = args.rows;
  block.outputs = args.count;
  block.y = args.y;
  block.y_stride = args.y_stride;
  context.primitives.mat_mul(block);
}

}  // namespace ponder::kernels::cpu
