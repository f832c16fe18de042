#pragma once

#include "kernels/cpu/primitives.h"

namespace ponder::kernels {

// The kernels of kAmx with the tiles emulated and the vectors as they are: the processor must have
// AVX-512.
const cpu::Primitives& EmulatedTilesBesideAvx512();

}  // namespace ponder::kernels
