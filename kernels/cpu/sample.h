#pragma once

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

void Sample(const CpuContext& context, const SampleArgs& args);

}  // namespace ponder::kernels::cpu
