#include "kernels/cpu/linear.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/matmul.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int64_t kRowBlock = 32;        // what the repacking primitives work on
constexpr int64_t kBackwardRows = 4096;  // rows at once: bounds the workspace
constexpr int64_t kBiasColumns = 256;

char* At(void* p, int64_t elements, DType dtype) {
  return static_cast<char*>(p) + elements * SizeOf(dtype);
}

void AddColumnSums(const CpuContext& context, const float* d_y, int64_t rows, int64_t width,
                   float* d_bias) {
  ParallelRuns(context.pool, width, kBiasColumns, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; ++row) {
      context.primitives.add(d_y + row * width + begin, d_bias + begin, end - begin);
    }
  });
}

}  // namespace

void Linear(const CpuContext& context, const LinearArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.w.outputs >= 0 && args.w.inputs > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.y != nullptr && args.w.data != nullptr);
  MatMul(context, {.x = args.x,
                   .x_stride = PaddedInputs(args.w.inputs),
                   .w = args.w,
                   .bias = args.bias,
                   .y = args.y,
                   .y_stride = args.w.outputs,
                   .store = args.store,
                   .rows = args.rows});
}

PackedMatrix TransposeWeights(const CpuContext& context, const PackedMatrix& w, int64_t output,
                              int64_t count, void* data) {
  const PackedMatrix part = {At(w.data, output * PaddedInputs(w.inputs), w.dtype), w.dtype, count,
                             w.inputs};
  const int64_t padded = PaddedInputs(count);
  context.pool.ParallelFor(padded / kRowBlock, [&](int64_t block) {
    context.primitives.transpose_packed(part, block, data, padded);
  });
  return {data, w.dtype, w.inputs, count};
}

PackedMatrix PackRows(const CpuContext& context, const void* x, int64_t stride, int64_t rows,
                      int64_t width, DType dtype, void* data) {
  const int64_t padded = PaddedInputs(rows);
  context.pool.ParallelFor(padded / kRowBlock, [&](int64_t block) {
    const int64_t row = block * kRowBlock;
    context.primitives.pack_transposed(static_cast<const char*>(x) + row * stride * SizeOf(dtype),
                                       stride, std::min(kRowBlock, rows - row), width, dtype, block,
                                       data, padded);
  });
  return {data, dtype, width, rows};
}

void LinearBackward(const CpuContext& context, const LinearBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.w.outputs > 0 && args.w.inputs > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.d_y != nullptr && args.d_x != nullptr &&
               args.d_w != nullptr);
  PONDER_CHECK(args.w.data != nullptr);
  const DType dtype = args.w.dtype;
  const int64_t outputs = args.w.outputs;
  const int64_t inputs = args.w.inputs;
  const int64_t padded_outputs = PaddedInputs(outputs);
  const int64_t chunk = PaddedInputs(std::min(args.rows, kBackwardRows));

  Workspace& workspace = context.workspace;
  workspace.Reset();
  const PackedMatrix transposed = TransposeWeights(
      context, args.w, 0, outputs, workspace.TakeBytes(PackedBytes(inputs, outputs, dtype)));
  void* d_y = workspace.TakeBytes(chunk * padded_outputs *
                                  SizeOf(dtype));  // [rows, padded outputs], rounded
  void* d_y_columns =
      workspace.TakeBytes(outputs * chunk * SizeOf(dtype));  // [outputs, padded rows]
  void* x_packed = workspace.TakeBytes(PackedBytes(inputs, chunk, dtype));  // x^T

  for (int64_t first = 0; first < args.rows; first += kBackwardRows) {
    const int64_t rows = std::min(kBackwardRows, args.rows - first);
    const int64_t padded_rows = PaddedInputs(rows);
    const float* d_y_rows = args.d_y + first * outputs;
    const void* x = static_cast<const char*>(args.x) + first * PaddedInputs(inputs) * SizeOf(dtype);
    context.pool.ParallelFor(padded_rows / kRowBlock, [&](int64_t block) {
      const int64_t row = block * kRowBlock;
      const int64_t count = std::min(kRowBlock, rows - row);
      for (int64_t i = row; i < row + count; ++i) {
        char* to = At(d_y, i * padded_outputs, dtype);
        context.primitives.round_to(d_y_rows + i * outputs, to, dtype, outputs);
        std::memset(to + outputs * SizeOf(dtype), 0, (padded_outputs - outputs) * SizeOf(dtype));
      }
      context.primitives.transpose_rows(d_y_rows + row * outputs, outputs, count, outputs, dtype,
                                        block, d_y_columns, padded_rows);
    });
    MatMul(context, {.x = d_y,
                     .x_stride = padded_outputs,
                     .w = transposed,
                     .y = args.d_x + first * inputs,
                     .y_stride = inputs,
                     .rows = rows});
    MatMul(context, {.x = d_y_columns,
                     .x_stride = padded_rows,
                     .w = PackRows(context, x, PaddedInputs(inputs), rows, inputs, dtype, x_packed),
                     .y = args.d_w,
                     .y_stride = inputs,
                     .store = Store::kAdd,
                     .rows = outputs});
    if (args.d_bias != nullptr) AddColumnSums(context, d_y_rows, rows, outputs, args.d_bias);
  }
}

}  // namespace ponder::kernels::cpu
