#include "kernels/cpu/primitives_inl.h"
#include "kernels/cpu/simd_avx512.h"

namespace ponder::kernels {
namespace avx512 {

struct PlainTag {};

struct Simd : SimdBase<PlainTag> {
  static constexpr bool kDotBf16 = false;
};

}  // namespace avx512

namespace cpu {

const Primitives& Avx512Primitives() {
  static constexpr Primitives kPrimitives = MakePrimitives<avx512::Simd>();
  return kPrimitives;
}

}  // namespace cpu
}  // namespace ponder::kernels
