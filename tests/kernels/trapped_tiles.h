#pragma once

#include <csignal>
#include <cstdint>

namespace ponder::kernels {

// While it lives, the tile instructions of AMX that this processor refuses are carried out by
// cpu::TileEmulator, on the thread that met them: so the machine code of the tile kernels runs on
// processors without tiles. Any other refused instruction ends the program as before. One at a
// time.
class TrappedTiles {
 public:
  TrappedTiles();
  ~TrappedTiles();
  TrappedTiles(const TrappedTiles&) = delete;
  TrappedTiles& operator=(const TrappedTiles&) = delete;

  // Instructions carried out.
  int64_t Count() const;

 private:
  struct sigaction before_ = {};
};

}  // namespace ponder::kernels
