#include "kernels/cpu/amx_primitives_inl.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/simd_avx512.h"

namespace ponder::kernels {
namespace avx512 {

struct AmxTag {};

// Without VDPBF16PS, which is slow on the processors that have tiles. Rounding to bf16 takes one
// instruction in place of fifteen.
struct SimdBesideTiles : SimdBase<AmxTag> {
  static constexpr bool kDotBf16 = false;
  static void StoreOperands(uint16_t* p, F a, F b) {
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(b, a));
  }
};

}  // namespace avx512

namespace cpu {

const Primitives& AmxPrimitives() {
  static constexpr Primitives kPrimitives =
      MakeAmxPrimitives<HardwareTiles, avx512::SimdBesideTiles>();
  return kPrimitives;
}

}  // namespace cpu
}  // namespace ponder::kernels
