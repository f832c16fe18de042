#include "kernels/cpu/primitives_inl.h"
#include "kernels/cpu/simd_portable.h"

namespace ponder::kernels::cpu {

const Primitives& PortablePrimitives() {
  static constexpr Primitives kPrimitives = MakePrimitives<portable::Simd>();
  return kPrimitives;
}

}  // namespace ponder::kernels::cpu
