#pragma once

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

void Attention(const CpuContext& context, const AttentionArgs& args);
void AttentionBackward(const CpuContext& context, const AttentionBackwardArgs& args);

}  // namespace ponder::kernels::cpu
