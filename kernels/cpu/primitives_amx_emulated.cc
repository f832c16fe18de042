#include "kernels/cpu/amx_emulated.h"
#include "kernels/cpu/amx_primitives_inl.h"
#include "kernels/cpu/simd_portable.h"

namespace ponder::kernels::cpu {

const Primitives& AmxEmulatedPrimitives() {
  static constexpr Primitives kPrimitives = MakeAmxPrimitives<EmulatedTiles, portable::Simd>();
  return kPrimitives;
}

}  // namespace ponder::kernels::cpu
