#include "kernels/cpu/amx_emulated.h"

#include <fmt/format.h>

#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace ponder::kernels::cpu {
namespace {

float FlushDenormal(float x) { return std::abs(x) < FLT_MIN ? std::copysign(0.0f, x) : x; }

// bf16 number `i` of a row.
float Bf16At(const unsigned char* row, int i) {
  uint16_t half;
  std::memcpy(&half, row + 2 * i, 2);
  return FlushDenormal(std::bit_cast<float>(static_cast<uint32_t>(half) << 16));
}

}  // namespace

TileEmulator& TileEmulator::OfThisThread() {
  thread_local TileEmulator emulator;
  return emulator;
}

TileEmulator::Tile& TileEmulator::At(int tile) {
  PONDER_CHECK(tile >= 0 && tile < kTiles, fmt::format("tile {}", tile));
  PONDER_CHECK(tiles_[tile].rows > 0, fmt::format("tile {} has no shape", tile));
  return tiles_[tile];
}

void TileEmulator::Configure(const TileConfig& config) {
  PONDER_CHECK(config.palette == 1 && config.start_row == 0);
  for (const uint8_t byte : config.reserved) PONDER_CHECK(byte == 0);
  for (int i = 0; i < 16; ++i) {
    const int rows = config.rows[i];
    const int row_bytes = config.row_bytes[i];
    PONDER_CHECK((rows == 0) == (row_bytes == 0) && rows <= kTileRows && row_bytes <= kTileRowBytes,
                 fmt::format("tile {}: {} rows of {} bytes", i, rows, row_bytes));
    if (i >= kTiles) {
      PONDER_CHECK(rows == 0);
      continue;
    }
    tiles_[i] = Tile();
    tiles_[i].rows = rows;
    tiles_[i].row_bytes = row_bytes;
  }
}

void TileEmulator::Release() {
  for (Tile& tile : tiles_) tile = Tile();
}

void TileEmulator::Zero(int tile) { std::memset(At(tile).bytes, 0, kTileBytes); }

void TileEmulator::Load(int tile, const void* from, int64_t stride) {
  Tile& to = At(tile);
  std::memset(to.bytes, 0, kTileBytes);
  for (int row = 0; row < to.rows; ++row) {
    std::memcpy(to.bytes + row * kTileRowBytes, static_cast<const char*>(from) + row * stride,
                to.row_bytes);
  }
}

void TileEmulator::Store(int tile, void* to, int64_t stride) {
  const Tile& from = At(tile);
  for (int row = 0; row < from.rows; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, from.bytes + row * kTileRowBytes,
                from.row_bytes);
  }
}

void TileEmulator::Dot(int sums, int inputs, int weights) {
  PONDER_CHECK(sums != inputs && sums != weights && inputs != weights);
  Tile& c = At(sums);
  const Tile& a = At(inputs);
  const Tile& b = At(weights);
  PONDER_CHECK(c.rows == a.rows && c.row_bytes == b.row_bytes && a.row_bytes == 4 * b.rows,
               fmt::format("{} x {}, {} x {}, {} x {}", c.rows, c.row_bytes, a.rows, a.row_bytes,
                           b.rows, b.row_bytes));
  float pairs[kTileRows][2 * 16];  // the weights
  for (int k = 0; k < b.rows; ++k) {
    for (int n = 0; n < b.row_bytes / 2; ++n) pairs[k][n] = Bf16At(b.bytes + k * kTileRowBytes, n);
  }
  const int outputs = c.row_bytes / 4;
  for (int m = 0; m < c.rows; ++m) {
    float chains[2 * 16] = {};
    for (int k = 0; k < b.rows; ++k) {
      for (int n = 0; n < 2 * outputs; ++n) {
        const float x = Bf16At(a.bytes + m * kTileRowBytes, 2 * k + n % 2);
        chains[n] = FlushDenormal(std::fma(x, pairs[k][n], chains[n]));
      }
    }
    float row[16];
    std::memcpy(row, c.bytes + m * kTileRowBytes, 4 * outputs);
    for (int n = 0; n < outputs; ++n) {
      const float sum = FlushDenormal(chains[2 * n] + chains[2 * n + 1]);
      row[n] = FlushDenormal(FlushDenormal(row[n]) + sum);
    }
    std::memcpy(c.bytes + m * kTileRowBytes, row, 4 * outputs);
  }
}

}  // namespace ponder::kernels::cpu
