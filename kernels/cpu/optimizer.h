#pragma once

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

void AdamW(const CpuContext& context, const AdamWArgs& args);
// The same where the moments are codes; AdamW calls it.
void AdamW8Bit(const CpuContext& context, const AdamWArgs& args, const AdamWFactors& factors);
void Pack(const CpuContext& context, const float* source, const PackedMatrix& target);
void Unpack(const CpuContext& context, const PackedMatrix& source, float* target);
double SquaredNorm(const CpuContext& context, const float* values, int64_t count);

}  // namespace ponder::kernels::cpu
