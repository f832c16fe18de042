#pragma once

#include <cstdint>

#include "kernels/cpu/amx_attention_tiles_inl.h"
#include "kernels/cpu/attention_inl.h"

// Attention on tiles. For each block of 64 keys and tile of rows: scores = q keys^T, whose weights
// are the pages as they lie; the softmax in fp32 vectors; p values, whose weights are the values
// paired once for all rows of the item; acc = acc alpha + that.
//
// q is rounded to bf16 as it is and its scores are scaled in fp32: so they are those of the q that
// models in bf16 have, and the scale, often no power of two, is rounded once and not once for each
// element. The sum of p is that of the unrounded p: the logsumexp is then as good as with vectors
// and the backward's weights add up to 1; the roundings of p, to nearest, mostly cancel in the
// output, whose own rounding is as large.
//
// Exactness: p of keys that a row does not see is exactly 0, and values that the sequence does not
// have are read as zeros. A product of zeros leaves a chain as it is, so a row has the same bits
// while its sequence grows, and a row that sees nothing of a block is left alone. Only where a
// later value is infinite or NaN, in a model that has diverged, 0 times that is NaN and reaches the
// rows before it.
namespace ponder::kernels::cpu {

// One tile of rows between its softmax and the addition to its sums.
struct TileOfRows {
  int64_t row = 0;  // the first
  int count = 0;
  int visible[kTileRows] = {};  // keys of the block
  alignas(64) float alpha[kTileRows] = {};
  float* scores = nullptr;    // [16, 64]
  float* products = nullptr;  // [16, E]
};

// The running maximum of base-2 scores, and p: [16, 64].
template <typename V>
inline void SoftmaxOfTile(const AttentionState& state, const KeyBlock& block, float scale,
                          TileOfRows& tile, uint16_t* p) {
  const auto factor = V::Set1(scale);
  alignas(64) float changes[kTileRows] = {};
  alignas(64) float sums[kTileRows * 16];
  for (int r = 0; r < tile.count; ++r) {
    const int64_t row = tile.row + r;
    const int visible = block.Visible(state.positions[row]);
    tile.visible[r] = visible;
    if (visible == 0) continue;
    typename V::F x[kBlockPages];
#pragma GCC unroll 4
    for (int i = 0; i < kBlockPages; ++i)
      x[i] = V::Mul(V::Load(tile.scores + r * kBlockKeys + i * 16), factor);
    if (visible < kBlockKeys) {
#pragma GCC unroll 4
      for (int i = 0; i < kBlockPages; ++i)
        x[i] = V::KeepFirst(x[i], visible - i * 16, kMinusInfinity);
    }
    const float block_max = V::MaxOf(V::Max(V::Max(x[0], x[1]), V::Max(x[2], x[3])));
    const float old_max = state.maxima[row];
    const float new_max = block_max > old_max ? block_max : old_max;
    changes[r] = old_max - new_max;
    state.maxima[row] = new_max;
#pragma GCC unroll 4
    for (int i = 0; i < kBlockPages; ++i) x[i] = Exp2<V>(V::Sub(x[i], V::Set1(new_max)));
    V::Store(sums + r * 16, V::Add(V::Add(x[0], x[1]), V::Add(x[2], x[3])));
    V::StoreOperands(p + r * kBlockKeys, x[0], x[1]);
    V::StoreOperands(p + r * kBlockKeys + 32, x[2], x[3]);
  }
  V::Store(tile.alpha, Exp2<V>(V::Load(changes)));
  for (int r = 0; r < tile.count; ++r) {
    if (tile.visible[r] == 0) continue;
    float* const sum = state.sums + (tile.row + r) * 16;
    V::Store(sum, V::Fma(V::Load(sum), V::Set1(tile.alpha[r]), V::Load(sums + r * 16)));
  }
}

template <typename V>
inline void AddProducts(const AttentionState& state, int64_t width, const TileOfRows& tile) {
  for (int r = 0; r < tile.count; ++r) {
    if (tile.visible[r] == 0) continue;
    const auto alpha = V::Set1(tile.alpha[r]);
    float* const acc = state.acc + (tile.row + r) * state.stride;
    for (int64_t e = 0; e < width; e += 16) {
      V::Store(acc + e, V::Fma(V::Load(acc + e), alpha, V::Load(tile.products + r * width + e)));
    }
  }
}

inline constexpr int kUnderWay = 3;

// Arrays of an item beside its state.
struct TileAttention {
  uint16_t* q = nullptr;       // [rows and kRowsBeyond, E]
  uint16_t* p = nullptr;       // [16, 64]
  uint16_t* values = nullptr;  // as PairRows leaves them
  TileOfRows tiles[kUnderWay];
  float scale = 0;  // to scores in powers of two
};

// Rows [row, row + count) with one block, tile after tile. The scores of the next tile are asked
// for before the softmax of this one, and this one's products with the values are added after the
// softmax of the next: so the unit of products works beside the vectors, and three tiles of rows
// are under way.
template <typename T, typename V>
inline void TileBlock(const AttentionState& state, TileAttention& work, int64_t row, int64_t count,
                      const RowTiles& tiles, const KeyBlock& block, const KeyBlock* fetch) {
  const int64_t width = block.width;
  const uint16_t* keys[kBlockPages] = {};
  const uint16_t* values[kBlockPages] = {};
  for (int i = 0; i < block.pages; ++i) {
    keys[i] = static_cast<const uint16_t*>(block.keys[i]);
    values[i] = static_cast<const uint16_t*>(block.values[i]);
  }
  const uint16_t* panels[kMaxPanels];
  for (int64_t i = 0; i < width / 16; ++i) panels[i] = work.values + i * 2 * kTileElements;
  const auto score = [&](int64_t i) {
    TileOfRows& tile = work.tiles[i % kUnderWay];
    tile.row = row + i * tiles.size;
    tile.count =
        static_cast<int>(count - i * tiles.size < tiles.size ? count - i * tiles.size : tiles.size);
    Multiply<T, false>({.inputs = work.q + tile.row * width,
                        .input_stride = width,
                        .steps = width / 32,
                        .weights = keys,
                        .panels = block.pages,
                        .sums = tile.scores,
                        .sum_stride = kBlockKeys});
  };
  score(0);
  PairRows<V>(values, block.held, width, fetch, work.values);
  for (int64_t i = 0; i < tiles.count; ++i) {
    if (i + 1 < tiles.count) score(i + 1);
    TileOfRows& tile = work.tiles[i % kUnderWay];
    SoftmaxOfTile<V>(state, block, work.scale, tile, work.p);
    if (i > 0) AddProducts<V>(state, width, work.tiles[(i - 1) % kUnderWay]);
    Multiply<T, false>({.inputs = work.p,
                        .input_stride = kBlockKeys,
                        .steps = 2,
                        .weights = panels,
                        .panels = width / 16,
                        .sums = tile.products,
                        .sum_stride = width});
  }
  AddProducts<V>(state, width, work.tiles[(tiles.count - 1) % kUnderWay]);
}

template <typename T, typename V>
void AttentionOnTiles(const AttentionArgs& args, const AttentionItem& item,
                      const AttentionItem* next, float* scratch) {
  if (!FitsTiles(args.shape)) return Attention<V>(args, item, next, scratch);
  const int64_t width = args.shape.head_width;
  const AttentionState state = TakeState<V>(args, item, scratch);
  TileAttention work;
  work.q = reinterpret_cast<uint16_t*>(Take(scratch, (state.count + kRowsBeyond) * width / 2));
  work.p = reinterpret_cast<uint16_t*>(Take(scratch, kTileRows * kBlockKeys / 2));
  work.values = reinterpret_cast<uint16_t*>(Take(scratch, kBlockKeys * width / 2));
  for (TileOfRows& tile : work.tiles) {
    tile.scores = Take(scratch, kTileRows * kBlockKeys);
    tile.products = Take(scratch, kTileRows * width);
  }
  work.scale = args.scale * kLog2E;
  for (int64_t row = 0; row < state.count; ++row)
    RoundRow<V>(args.q + state.at[row] * width, width, work.q + row * width);

  int configured = 0;
  VisitBlocks(args, item, next, state,
              [&](int64_t row, int64_t count, const KeyBlock& block, const KeyBlock* fetch) {
                const RowTiles tiles = TilesOf(count);
                if (tiles.size != configured) T::Configure(ConfigFor({tiles.size, tiles.size}));
                configured = tiles.size;
                TileBlock<T, V>(state, work, row, count, tiles, block, fetch);
              });
  T::Release();
  FinishRows<V>(args, state, kLn2);
}

}  // namespace ponder::kernels::cpu
