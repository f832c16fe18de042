#pragma once

#include "kernels/cpu/context.h"

namespace ponder::kernels::cpu {

void GateUp(const CpuContext& context, const GateUpArgs& args);

}  // namespace ponder::kernels::cpu
