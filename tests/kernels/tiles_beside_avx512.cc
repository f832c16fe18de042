#include "tests/kernels/tiles_beside_avx512.h"

#include "kernels/cpu/amx_emulated.h"
#include "kernels/cpu/amx_primitives_inl.h"
#include "kernels/cpu/simd_avx512.h"

namespace ponder::kernels {
namespace avx512 {

struct EmulatedTilesTag {};

struct SimdBesideEmulatedTiles : SimdBase<EmulatedTilesTag> {
  static constexpr bool kDotBf16 = false;
};

}  // namespace avx512

namespace {

// A type of its own, so that no code compiled here stands in for that of amx_emulated.
struct TilesBesideAvx512 : cpu::EmulatedTiles {};

}  // namespace

const cpu::Primitives& EmulatedTilesBesideAvx512() {
  static constexpr cpu::Primitives kPrimitives =
      cpu::MakeAmxPrimitives<TilesBesideAvx512, avx512::SimdBesideEmulatedTiles>();
  return kPrimitives;
}

}  // namespace ponder::kernels
