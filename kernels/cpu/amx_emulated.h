#pragma once

#include <cstdint>

#include "kernels/cpu/amx_tiles.h"

namespace ponder::kernels::cpu {

// The tile registers in plain C++, as Intel's manual describes the instructions. What the processor
// would refuse (a register without a shape, shapes that do not fit one another) throws
// CheckFailure.
class TileEmulator {
 public:
  static TileEmulator& OfThisThread();

  void Configure(const TileConfig& config);
  void Release();
  void Zero(int tile);
  void Load(int tile, const void* from, int64_t stride);
  void Store(int tile, void* to, int64_t stride);
  void Dot(int sums, int inputs, int weights);

 private:
  struct Tile {
    int rows = 0;  // 0: no shape
    int row_bytes = 0;
    alignas(64) unsigned char bytes[kTileBytes] = {};
  };
  Tile& At(int tile);

  Tile tiles_[kTiles];
};

// Inlined always: callers may be compiled for processors that not every user of this struct has.
struct EmulatedTiles {
  [[gnu::always_inline]] static void Configure(const TileConfig& config) {
    TileEmulator::OfThisThread().Configure(config);
  }
  [[gnu::always_inline]] static void Release() { TileEmulator::OfThisThread().Release(); }
  template <int kTile>
  [[gnu::always_inline]] static void Zero() {
    TileEmulator::OfThisThread().Zero(kTile);
  }
  template <int kTile>
  [[gnu::always_inline]] static void Load(const void* from, int64_t stride) {
    TileEmulator::OfThisThread().Load(kTile, from, stride);
  }
  template <int kTile>
  [[gnu::always_inline]] static void Store(void* to, int64_t stride) {
    TileEmulator::OfThisThread().Store(kTile, to, stride);
  }
  template <int kSums, int kInputs, int kWeights>
  [[gnu::always_inline]] static void Dot() {
    TileEmulator::OfThisThread().Dot(kSums, kInputs, kWeights);
  }
};

}  // namespace ponder::kernels::cpu
