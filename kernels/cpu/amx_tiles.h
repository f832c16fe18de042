#pragma once

#include <cstdint>

// The tile registers of AMX, behind one set of static functions: HardwareTiles here, EmulatedTiles
// (amx_emulated.h) on any processor. Kernels are templates over one of them.
//
// Eight registers of up to 16 rows of 64 bytes. Per row of a product's tile: 16 outputs in fp32, or
// 16 pairs of bf16 inputs. Configure gives all shapes and zeroes the registers; Release gives them
// back, so that a thread that does other work carries no tile state.
namespace ponder::kernels::cpu {

inline constexpr int kTileRows = 16;
inline constexpr int64_t kTileRowBytes = 64;
inline constexpr int64_t kTileBytes = kTileRows * kTileRowBytes;
inline constexpr int kTiles = 8;

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};  // of tiles 0 ... 7; the rest is reserved
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// The instructions themselves. In place of the intrinsics of GCC 12, which take register numbers as
// literals alone (no templates) and do not tell the compiler which memory they read. What Load
// reads must have been written before Configure, or by Store: it says nothing to the compiler
// itself, for a clobber of all memory would put the loops' variables there.
struct HardwareTiles {
  static void Configure(const TileConfig& config) {
    asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }
  static void Release() { asm volatile("tilerelease" : : : "memory"); }
  template <int kTile>
  static void Zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  // Rows of the tile are `stride` bytes apart in memory.
  template <int kTile>
  static void Load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile));
  }
  template <int kTile>
  static void Store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  // sums += inputs weights^T (TDPBF16PS): of a row of inputs and a column of pairs of weights, the
  // even and the odd members of the pairs are two chains of fused multiply-adds from 0, which are
  // added to one another and then to the sum. Denormals count as zero and become zero.
  template <int kSums, int kInputs, int kWeights>
  static void Dot() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0"
                 :
                 : "i"(kSums), "i"(kInputs), "i"(kWeights));
  }
};

}  // namespace ponder::kernels::cpu
