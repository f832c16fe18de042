#pragma once

#include <string_view>

#include "kernels/backend.h"
#include "kernels/cpu/primitives.h"

namespace ponder::kernels::cpu {

// Whether this processor and system can run it. For kAmx the process asks the system for its tiles
// here, once.
bool Supports(CpuIsa isa);
// The widest that this processor has; never an emulation.
CpuIsa BestIsa();
std::string_view IsaName(CpuIsa isa);
// `isa` is not kBest.
const Primitives& PrimitivesFor(CpuIsa isa);

}  // namespace ponder::kernels::cpu
