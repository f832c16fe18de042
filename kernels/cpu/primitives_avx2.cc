#include "kernels/cpu/primitives_inl.h"
#include "kernels/cpu/simd_avx2.h"

namespace ponder::kernels::cpu {

const Primitives& Avx2Primitives() {
  static constexpr Primitives kPrimitives = MakePrimitives<avx2::Simd>();
  return kPrimitives;
}

}  // namespace ponder::kernels::cpu
