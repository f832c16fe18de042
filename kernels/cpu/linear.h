#pragma once

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

void Linear(const CpuContext& context, const LinearArgs& args);
void LinearBackward(const CpuContext& context, const LinearBackwardArgs& args);

// W^T packed, for outputs [output, output + count) of w as its inputs (`output` a multiple of 32):
// [w.inputs, count]. `data` holds PackedBytes(w.inputs, count, w.dtype).
PackedMatrix TransposeWeights(const CpuContext& context, const PackedMatrix& w, int64_t output,
                              int64_t count, void* data);
// x^T packed, [width, rows], from x [rows, stride] of dtype.
PackedMatrix PackRows(const CpuContext& context, const void* x, int64_t stride, int64_t rows,
                      int64_t width, DType dtype, void* data);

}  // namespace ponder::kernels::cpu
