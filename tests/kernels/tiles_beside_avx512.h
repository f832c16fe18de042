#pragma once

#include "kernels/cpu/primitives.h"

namespace ponder::kernels {

// The kernels of kAmx with the tiles emulated and the vectors as they are, but for the instruction
// that rounds operands, which has the plain rounding in its place. The processor must have AVX-512.
const cpu::Primitives& EmulatedTilesBesideAvx512();

}  // namespace ponder::kernels
