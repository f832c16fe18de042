#pragma once

#include <cstdint>

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

// y = x W^T (+ bias), stored or added. Each element of y is one chain over the inputs, whatever the
// rows and threads.
struct MatMulArgs {
  const void* x = nullptr;  // [rows, x_stride] of w.dtype; columns from w.inputs to
                            // PaddedInputs(w.inputs) are zero
  int64_t x_stride = 0;     // in elements, at least PaddedInputs(w.inputs)
  PackedMatrix w;
  const float* bias = nullptr;  // [w.outputs], or null
  float* y = nullptr;           // [rows, y_stride]
  int64_t y_stride = 0;
  Store store = Store::kOverwrite;
  int64_t rows = 0;
};

void MatMul(const CpuContext& context, const MatMulArgs& args);

// How the threads share a product: items of `rows` rows and `panels` panels, fewer at the end.
struct ProductCut {
  int64_t rows = 0;
  int64_t panels = 0;
  int64_t row_items = 0;
  int64_t panel_items = 0;
  bool rows_first = false;  // all panels for some rows, or all rows for some panels

  int64_t Items() const { return row_items * panel_items; }
  // Where an item begins.
  int64_t Row(int64_t item) const {
    return (rows_first ? item / panel_items : item % row_items) * rows;
  }
  int64_t Panel(int64_t item) const {
    return (rows_first ? item % panel_items : item / row_items) * panels;
  }
};
// `row_bytes`: of one row's inputs; `matrices` have their panels run along together.
ProductCut CutProduct(const CpuContext& context, int64_t rows, int64_t panels, int64_t row_bytes,
                      int64_t matrices);

// The part of a product for outputs [output, output + count) of w and `rows` rows of x, on the
// calling thread. `output` is a multiple of 16; y points at the first element.
struct MatMulTileArgs {
  const void* x = nullptr;
  int64_t x_stride = 0;
  PackedMatrix w;
  int64_t output = 0;
  int64_t count = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t rows = 0;
};
void MatMulTile(const CpuContext& context, const MatMulTileArgs& args);

}  // namespace ponder::kernels::cpu
