#include "kernels/cpu/primitives_inl.h"
#include "kernels/cpu/simd_avx512.h"

namespace ponder::kernels {
namespace avx512 {

struct Bf16Tag {};

struct SimdBf16 : SimdBase<Bf16Tag> {
  static constexpr bool kDotBf16 = true;
  // acc + the products of both halves, pair by pair (VDPBF16PS: denormals count as zero).
  static F Dot(F acc, Pairs x, Pairs y) { return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)y); }
};

}  // namespace avx512

namespace cpu {

const Primitives& Avx512Bf16Primitives() {
  static constexpr Primitives kPrimitives = MakePrimitives<avx512::SimdBf16>();
  return kPrimitives;
}

}  // namespace cpu
}  // namespace ponder::kernels
