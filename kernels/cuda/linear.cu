#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/swiglu.cuh"

namespace ponder::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// Tiles take 8 of gate's outputs and the same 8 of up's in turn: a thread then holds both.
struct GateUpLines {
  int64_t width = 0;  // F
  __device__ int64_t operator()(int64_t line) const {
    const int64_t f = line / 16 * 8 + line % 8;
    return f >= width ? -1 : line / 8 % 2 == 0 ? f : width + f;
  }
};

template <typename T>
struct FinishGateUp {
  T* y = nullptr;      // [m, padded F]
  T* kept = nullptr;   // [m, padded 2F], or null
  int64_t padded = 0;  // of y
  int64_t padded_kept = 0;
  GateUpLines lines;

  __device__ void operator()(int64_t row, int64_t column, const float* gate,
                             const float* up) const {
    const int64_t f = column / 16 * 8 + column % 8;
    for (int i = 0; i < 2; ++i) {
      if (f + i >= padded) return;
      // Beyond F both are zero, and so is this.
      y[row * padded + f + i] = Narrow<T>(SiluTimes(gate[i], up[i]));
      if (kept == nullptr || f + i >= lines.width) continue;
      kept[row * padded_kept + f + i] = Narrow<T>(gate[i]);
      kept[row * padded_kept + lines.width + f + i] = Narrow<T>(up[i]);
    }
  }
};

// [rows, width] fp32 into [rows, padded width] T, zeros behind.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    NarrowRowsKernel(const float* from, T* to, int64_t rows, int64_t width, int64_t padded) {
  const int64_t count = rows * padded;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t row = i / padded, column = i % padded;
    to[i] = Narrow<T>(column < width ? from[row * width + column] : 0.0f);
  }
}

struct PlainValue {
  const float* values = nullptr;  // [rows, width]
  int64_t width = 0;
  __device__ float operator()(int64_t row, int64_t column) const {
    return values[row * width + column];
  }
};

// The product by itself, then the gate: the product passes through memory, rounded, which costs
// less than a slower product does. False where cuBLASLt has nothing for it.
bool FastGateUp(const CudaContext& context, const GateUpArgs& args) {
  if (args.w.dtype != DType::kBF16 || args.rows < kBlasRows || context.blas == nullptr)
    return false;
  const int64_t padded = PaddedInputs(args.w.outputs);
  void* gate_up = args.kept;
  if (gate_up == nullptr) {
    context.workspace.Reset();
    gate_up = context.workspace.Take<BF16>(args.rows * padded);
  }
  const bool is_done =
      context.blas->MatMul(context.stream, {.a = ActOperand<BF16>(args.x, args.rows, args.w.inputs),
                                            .b = WeightOperand<BF16>(args.w),
                                            .c = gate_up,
                                            .c_type = DType::kBF16,
                                            .c_width = padded,
                                            .m = args.rows,
                                            .n = args.w.outputs,
                                            .k = PaddedInputs(args.w.inputs)});
  if (!is_done) return false;
  SwiGlu(context, {.gate_up = gate_up,
                   .y = args.y,
                   .act = DType::kBF16,
                   .rows = args.rows,
                   .width = args.w.outputs / 2});
  return true;
}

}  // namespace

void Linear(const CudaContext& context, const LinearArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.w.outputs >= 0 && args.w.inputs > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.y != nullptr && args.w.data != nullptr);
  context.workspace.Reset();
  ForType(args.w.dtype, [&]<typename T>() {
    const Operand<T> x = ActOperand<T>(args.x, args.rows, args.w.inputs);
    const Operand<T> w = WeightOperand<T>(args.w);
    const int64_t k = PaddedInputs(args.w.inputs);
    const StoreProduct finish = StoreIn(args.y, args.w.outputs, args.store, args.bias);
    if (context.numerics == Numerics::kFast &&
        BlasMatMul<T, Major::kK, Major::kK>(context, x, w, args.rows, k, args.rows, finish)) {
      return;
    }
    MatMulInChains<T>(context, x, w, args.rows, args.w.outputs, k, finish);
  });
}

void GateUp(const CudaContext& context, const GateUpArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.w.outputs > 0 && args.w.outputs % 2 == 0);
  PONDER_CHECK(args.w.inputs > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.y != nullptr && args.w.data != nullptr);
  const int64_t width = args.w.outputs / 2;
  if (context.numerics == Numerics::kFast && FastGateUp(context, args)) return;
  ForType(args.w.dtype, [&]<typename T>() {
    MatMul<T, Major::kK, Major::kK>(context, ActOperand<T>(args.x, args.rows, args.w.inputs),
                                    WeightOperand<T>(args.w), args.rows, 2 * PaddedInputs(width),
                                    PaddedInputs(args.w.inputs),
                                    FinishGateUp<T>{.y = static_cast<T*>(args.y),
                                                    .kept = static_cast<T*>(args.kept),
                                                    .padded = PaddedInputs(width),
                                                    .padded_kept = PaddedInputs(2 * width),
                                                    .lines = {width}});
  });
}

void LinearBackward(const CudaContext& context, const LinearBackwardArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.w.outputs > 0 && args.w.inputs > 0);
  if (args.rows == 0) return;
  PONDER_CHECK(args.x != nullptr && args.d_y != nullptr && args.d_x != nullptr &&
               args.d_w != nullptr);
  PONDER_CHECK(args.w.data != nullptr);
  const int64_t outputs = args.w.outputs, inputs = args.w.inputs;
  context.workspace.Reset();
  ForType(args.w.dtype, [&]<typename T>() {
    const int64_t padded = PaddedInputs(outputs);
    T* const d_y = context.workspace.Take<T>(args.rows * padded);
    Launch({.blocks = CeilDivide(args.rows * padded, 4 * kThreads), .threads = kThreads},
           context.stream, NarrowRowsKernel<T>, args.d_y, d_y, args.rows, outputs, padded);
    const Operand<T> gradient = {d_y, args.rows, padded};
    // d_x = d_y W, d_w += d_y^T x.
    MatMulInAnyOrder<T, Major::kK, Major::kOther>(context, gradient, WeightOperand<T>(args.w),
                                                  args.rows, outputs, args.rows,
                                                  StoreIn(args.d_x, inputs));
    MatMulInAnyOrder<T, Major::kOther, Major::kOther>(
        context, gradient, ActOperand<T>(args.x, args.rows, inputs), outputs, args.rows, args.rows,
        StoreIn(args.d_w, inputs, Store::kAdd));
  });
  if (args.d_bias == nullptr) return;
  AddColumnSums(context, args.rows, outputs, PlainValue{args.d_y, outputs}, args.d_bias);
}

}  // namespace ponder::kernels::cuda
