#include "kernels/cpu/amx_primitives_inl.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/simd_avx512.h"

namespace ponder::kernels {
namespace avx512 {

struct AmxTag {};

// Without VDPBF16PS, which is slow on the processors that have tiles.
struct SimdBesideTiles : SimdBase<AmxTag> {
  static constexpr bool kDotBf16 = false;
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
