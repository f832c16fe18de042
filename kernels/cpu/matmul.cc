#include "kernels/cpu/matmul.h"

#include <algorithm>

namespace ponder::kernels::cpu {
namespace {

// Items for each thread, so that none waits long for the last.
constexpr int64_t kItemsPerThread = 4;

const char* PanelAt(const PackedMatrix& w, int64_t output) {
  return static_cast<const char*>(w.data) + output * PaddedInputs(w.inputs) * SizeOf(w.dtype);
}

// Panels of an item where there is no reason for fewer.
constexpr int64_t kMostPanels = 32;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t RoundUp(int64_t a, int64_t to) { return DivideUp(a, to) * to; }

// Of equal size, as far as whole units allow.
int64_t BlockRows(const MatMulBlocking& blocking, int64_t rows, int64_t row_bytes) {
  int64_t most = blocking.rows;
  if (blocking.input_bytes > 0) most = std::min(most, blocking.input_bytes / row_bytes);
  most = std::max(most / blocking.row_unit * blocking.row_unit, blocking.row_unit);
  const int64_t each = DivideUp(rows, DivideUp(rows, most));
  return DivideUp(each, blocking.row_unit) * blocking.row_unit;
}

// Inputs that a block of bf16 copies at once: parts of nearly equal size.
int64_t CopiedInputs(const MatMulBlocking& blocking, int64_t rows, int64_t inputs) {
  if (blocking.copied_elements == 0 || rows * inputs <= blocking.copied_elements) return inputs;
  const int64_t parts = DivideUp(rows * inputs, blocking.copied_elements);
  return RoundUp(DivideUp(inputs, parts), 16);
}

// For that copy, and for the sums that wait for its next part.
int64_t ScratchBytes(const MatMulBlocking& blocking, const MatMulBlock& block) {
  int64_t row_bytes = block.copied_inputs * blocking.copy_bytes + kCopyPadding;
  if (block.copied_inputs < block.inputs) {
    row_bytes += Panels(block.outputs) * kPanelOutputs * static_cast<int64_t>(sizeof(float));
  }
  return block.rows * row_bytes;
}

// On the calling thread, with its scratch.
void RunBlock(const CpuContext& context, MatMulBlock& block) {
  const MatMulBlocking& blocking = context.primitives.mat_mul_blocking;
  if (block.dtype == DType::kBF16 && blocking.copy_bytes > 0) {
    block.copied_inputs = CopiedInputs(blocking, block.rows, block.inputs);
    const int64_t bytes = ScratchBytes(blocking, block);
    block.scratch =
        ThreadScratch(bytes / static_cast<int64_t>(sizeof(float)), ScratchUse::kProduct);
  }
  context.primitives.mat_mul(block);
}

}  // namespace

ProductCut CutProduct(const CpuContext& context, int64_t rows, int64_t panels, int64_t row_bytes,
                      int64_t matrices) {
  const MatMulBlocking& blocking = context.primitives.mat_mul_blocking;
  ProductCut cut;
  cut.rows = BlockRows(blocking, rows, row_bytes);
  cut.row_items = DivideUp(rows, cut.rows);
  const int64_t threads = context.pool.Threads();
  // Few rows use each panel once: only the threads' shares count.
  const bool once = rows <= blocking.few_rows;
  const int64_t fitting = blocking.panel_bytes / (matrices * kPanelOutputs * row_bytes);
  const int64_t most = once ? kMostPanels : std::max(RoundUp(fitting, 2), int64_t{2});
  const int64_t items_per_thread = once ? 1 : kItemsPerThread;
  int64_t items =
      std::max(DivideUp(panels, most), DivideUp(items_per_thread * threads, cut.row_items));
  // A thread more or less to do shows where items are few.
  while (cut.row_items * items < 8 * threads && cut.row_items * items % threads != 0) ++items;
  // Whole pairs: what a tile of many rows computes side by side.
  cut.panels = std::min(RoundUp(DivideUp(panels, items), 2), panels);
  cut.panel_items = DivideUp(panels, cut.panels);
  cut.rows_first = blocking.rows_first;
  return cut;
}

void MatMul(const CpuContext& context, const MatMulArgs& args) {
  if (args.rows == 0 || args.w.outputs == 0) return;
  const int64_t padded = PaddedInputs(args.w.inputs);
  const ProductCut cut =
      CutProduct(context, args.rows, Panels(args.w.outputs), padded * SizeOf(args.w.dtype), 1);
  context.pool.ParallelFor(cut.Items(), [&](int64_t item) {
    const int64_t row = cut.Row(item);
    const int64_t output = cut.Panel(item) * kPanelOutputs;
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
    RunBlock(context, block);
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
  RunBlock(context, block);
}

}  // namespace ponder::kernels::cpu
