#pragma once

#include <cstdint>

#include "kernels/cpu/amx_attention_tiles_inl.h"
#include "kernels/cpu/attention_backward_inl.h"

// Attention's backward on tiles: the formulas and the two passes of attention_backward_inl.h, with
// the forward's scores. d_out is rounded to bf16 as q is, in delta as well, so that d_out.v and its
// mean under p are of one d_out; p and ds are rounded where they are operands.
//
// Exact zeros stand for what a row does not see, as in the forward.
namespace ponder::kernels::cpu {

template <typename V>
void AttentionDeltaOnTiles(const AttentionBackwardArgs& args, int64_t begin, int64_t end,
                           float* delta) {
  if (!FitsTiles(args.shape)) return AttentionDelta<V>(args, begin, end, delta);
  const int64_t width = args.shape.head_width;
  const int64_t padded = PaddedInputs(args.heads * width);
  alignas(64) uint16_t d_out[kMaxHeadWidth];
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t head = 0; head < args.heads; ++head) {
      RoundRow<V>(args.d_out + (row * args.heads + head) * width, width, d_out);
      auto sum = V::Zero();
      for (int64_t e = 0; e < width; e += 16) {
        sum = V::Fma(LoadActN<V>(args.out, args.out_act, row * padded + head * width + e, 16),
                     V::LoadBf16(d_out + e), sum);
      }
      delta[row * args.heads + head] = V::Sum(sum);
    }
  }
}

// Scores and d_out.v of one tile, 64 numbers a row.
struct TileGradients {
  float* scores = nullptr;  // [16, 64]
  float* d_p = nullptr;     // [16, 64]
};

static inline void TakeGradients(float*& scratch, TileGradients (&tiles)[2]) {
  for (TileGradients& tile : tiles) {
    tile.scores = Take(scratch, kTileRows * kBlockKeys);
    tile.d_p = Take(scratch, kTileRows * kBlockKeys);
  }
}

// ---- by queries ----

// Rows of an item: tiles of rows meet blocks of 64 keys.
struct QueryTiles {
  uint16_t* q = nullptr;      // [rows and kRowsBeyond, E]
  uint16_t* d_out = nullptr;  // like q
  float* d_q = nullptr;       // like q
  float* shifts = nullptr;    // [rows]: minus the logsumexp, in powers of two
  float* delta = nullptr;     // [rows]
  float scale = 0;            // to scores in powers of two
};

// ds of one tile, [16, 64].
template <typename V>
inline void GradientsOfKeys(const QueryTiles& work, const AttentionRows& rows, int64_t row,
                            int count, const KeyBlock& block, const TileGradients& tile,
                            uint16_t* ds) {
  const auto factor = V::Set1(work.scale);
  for (int r = 0; r < count; ++r) {
    const int visible = block.Visible(rows.Position(row + r));
    const auto shift = V::Set1(work.shifts[row + r]);
    const auto delta = V::Set1(work.delta[row + r]);
    typename V::F x[kBlockPages];
#pragma GCC unroll 4
    for (int i = 0; i < kBlockPages; ++i) {
      const int64_t at = r * kBlockKeys + i * 16;
      const auto p = Exp2<V>(V::Fma(V::Load(tile.scores + at), factor, shift));
      x[i] = V::Mul(p, V::Sub(V::Load(tile.d_p + at), delta));
    }
    if (visible < kBlockKeys) {
#pragma GCC unroll 4
      for (int i = 0; i < kBlockPages; ++i) x[i] = V::KeepFirst(x[i], visible - i * 16, 0.0f);
    }
    V::StoreOperands(ds + r * kBlockKeys, x[0], x[1]);
    V::StoreOperands(ds + r * kBlockKeys + 32, x[2], x[3]);
  }
}

template <typename T, typename V>
void AttentionBackwardQueriesOnTiles(const AttentionBackwardArgs& args, const AttentionItem& item,
                                     const float* delta, float* scratch) {
  if (!FitsTiles(args.shape)) return AttentionBackwardQueries<V>(args, item, delta, scratch);
  const int64_t width = args.shape.head_width;
  const AttentionRows rows = RowsOf(args, item);
  const int64_t reserved = rows.count + kRowsBeyond;
  const auto take_bf16 = [&](int64_t count) {
    return reinterpret_cast<uint16_t*>(Take(scratch, count / 2));
  };
  QueryTiles work;
  work.q = take_bf16(reserved * width);
  work.d_out = take_bf16(reserved * width);
  work.d_q = Take(scratch, reserved * width);
  work.shifts = Take(scratch, rows.count);
  work.delta = Take(scratch, rows.count);
  work.scale = args.scale * kLog2E;
  uint16_t* const turned_values = take_bf16(kBlockKeys * width);
  uint16_t* const key_rows = take_bf16(kBlockKeys * width);
  uint16_t* const paired_keys = take_bf16(kBlockKeys * width);
  uint16_t* const ds = take_bf16(kTileRows * kBlockKeys);
  TileGradients gradients[2];
  TakeGradients(scratch, gradients);
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t at = rows.At(row);
    RoundRow<V>(args.q + at * width, width, work.q + row * width);
    RoundRow<V>(args.d_out + at * width, width, work.d_out + row * width);
    work.shifts[row] = -args.logsumexp[at] * kLog2E;
    work.delta[row] = delta[at];
  }
  for (int64_t i = 0; i < reserved * width; i += 16) V::Store(work.d_q + i, V::Zero());

  const RowTiles tiles = TilesOf(rows.count);
  T::Configure(ConfigFor({tiles.size, tiles.size}));
  const int64_t blocks = rows.Position(rows.count - 1) / kBlockKeys + 1;
  for (int64_t b = 0; b < blocks; ++b) {
    const KeyBlock block = BlockAt(args, *item.sequence, item.kv_head, b);
    const uint16_t* keys[kBlockPages] = {};
    const uint16_t* values[kBlockPages] = {};
    const uint16_t* runs[kBlockPages] = {};
    for (int i = 0; i < block.pages; ++i) {
      keys[i] = static_cast<const uint16_t*>(block.keys[i]);
      values[i] = turned_values + i * kPageTokens * width;
      runs[i] = key_rows + i * kPageTokens * width;
      TurnRows<V>(static_cast<const uint16_t*>(block.values[i]), width,
                  turned_values + i * kPageTokens * width);
      RowsOfKeys<V>(keys[i], width, key_rows + i * kPageTokens * width);
    }
    PairRows<V>(runs, block.held, width, nullptr, paired_keys);
    const uint16_t* panels[kMaxPanels];
    for (int64_t i = 0; i < width / 16; ++i) panels[i] = paired_keys + i * 2 * kTileElements;
    const auto multiply = [&](const uint16_t* x, int64_t row, const uint16_t* const* weights,
                              float* sums) {
      Multiply<T, false>({.inputs = x + row * width,
                          .input_stride = width,
                          .steps = width / 32,
                          .weights = weights,
                          .panels = block.pages,
                          .sums = sums,
                          .sum_stride = kBlockKeys});
    };
    const auto score = [&](int64_t i) {
      multiply(work.q, i * tiles.size, keys, gradients[i % 2].scores);
      multiply(work.d_out, i * tiles.size, values, gradients[i % 2].d_p);
    };
    // Tiles of rows that see nothing of the block stand before all others.
    int64_t first = 0;
    while (block.Visible(rows.Position((first + 1) * tiles.size < rows.count
                                           ? (first + 1) * tiles.size - 1
                                           : rows.count - 1)) == 0) {
      ++first;
    }
    score(first);
    for (int64_t i = first; i < tiles.count; ++i) {
      if (i + 1 < tiles.count) score(i + 1);  // while the vectors work on this one
      const int64_t row = i * tiles.size;
      const int64_t rest = rows.count - row;
      GradientsOfKeys<V>(work, rows, row, rest < tiles.size ? static_cast<int>(rest) : tiles.size,
                         block, gradients[i % 2], ds);
      Multiply<T, true>({.inputs = ds,
                         .input_stride = kBlockKeys,
                         .steps = 2,
                         .weights = panels,
                         .panels = width / 16,
                         .sums = work.d_q + row * width,
                         .sum_stride = width});
    }
  }
  T::Release();
  for (int64_t row = 0; row < rows.count; ++row) {
    float* const out = args.d_q + rows.At(row) * width;
    for (int64_t e = 0; e < width; e += 16)
      V::Store(out + e, V::Mul(V::Load(work.d_q + row * width + e), V::Set1(args.scale)));
  }
}

// ---- by pages ----

// Rows of a sequence that meet a page at once: counted from the sequence's first, so that a page's
// sums do not depend on the pages beside it.
inline constexpr int64_t kRunRows = 64;

// A run of rows in the orders that its products read; beyond the last row zeros.
struct RowRun {
  uint16_t* rows = nullptr;          // [64, E]: room to make the others of
  uint16_t* turned_q = nullptr;      // as TurnRows leaves them, 16 rows each
  uint16_t* turned_d_out = nullptr;  // like turned_q
  uint16_t* paired_q = nullptr;      // as PairRows leaves them
  uint16_t* paired_d_out = nullptr;  // like paired_q
  float* shifts = nullptr;           // [64]: minus the logsumexp, in powers of two
  float* delta = nullptr;            // [64]
  float* positions = nullptr;        // [64]; -1 beyond the last row
};

template <typename V>
inline void FillOperands(const AttentionBackwardArgs& args, const AttentionRows& rows,
                         int64_t first, const float* x, const RowRun& run, uint16_t* turned,
                         uint16_t* paired) {
  const int64_t width = args.shape.head_width;
  const uint16_t* runs[kBlockPages];
  for (int64_t r = 0; r < kRunRows; ++r) {
    uint16_t* const to = run.rows + r * width;
    if (first + r < rows.count) {
      RoundRow<V>(x + rows.At(first + r) * width, width, to);
    } else {
      for (int64_t e = 0; e < width; e += 16) V::StoreBf16(to + e, V::Zero());
    }
  }
  for (int64_t i = 0; i < kBlockPages; ++i) {
    runs[i] = run.rows + i * 16 * width;
    TurnRows<V>(runs[i], width, turned + i * 16 * width);
  }
  PairRows<V>(runs, kRunRows, width, nullptr, paired);
}

template <typename V>
inline void FillRun(const AttentionBackwardArgs& args, const AttentionRows& rows, int64_t first,
                    const float* delta, const RowRun& run) {
  for (int64_t r = 0; r < kRunRows; ++r) {
    const bool real = first + r < rows.count;
    const int64_t at = real ? rows.At(first + r) : 0;
    run.shifts[r] = real ? -args.logsumexp[at] * kLog2E : 0;
    run.delta[r] = real ? delta[at] : 0;
    run.positions[r] = real ? static_cast<float>(rows.Position(first + r)) : -1;
  }
  FillOperands<V>(args, rows, first, args.q, run, run.turned_q, run.paired_q);
  FillOperands<V>(args, rows, first, args.d_out, run, run.turned_d_out, run.paired_d_out);
}

// p and ds of the 16 keys of a page and 64 rows, [16, 64].
template <typename V>
inline void GradientsOfRows(const RowRun& run, const TileGradients& tile, float scale,
                            int64_t first_key, uint16_t* p, uint16_t* ds) {
  const auto factor = V::Set1(scale);
  for (int64_t s = 0; s < kPageTokens; ++s) {
    const auto key = V::Set1(static_cast<float>(first_key + s));
    typename V::F weights[kBlockPages], gradients[kBlockPages];
#pragma GCC unroll 4
    for (int i = 0; i < kBlockPages; ++i) {
      const int64_t at = s * kRunRows + i * 16;
      const auto position = V::Load(run.positions + i * 16);
      const auto weight =
          Exp2<V>(V::Fma(V::Load(tile.scores + at), factor, V::Load(run.shifts + i * 16)));
      const auto gradient =
          V::Mul(weight, V::Sub(V::Load(tile.d_p + at), V::Load(run.delta + i * 16)));
      weights[i] = V::SelectLess(position, key, V::Zero(), weight);
      gradients[i] = V::SelectLess(position, key, V::Zero(), gradient);
    }
#pragma GCC unroll 2
    for (int i = 0; i < kBlockPages; i += 2) {
      V::StoreOperands(p + s * kRunRows + i * 16, weights[i], weights[i + 1]);
      V::StoreOperands(ds + s * kRunRows + i * 16, gradients[i], gradients[i + 1]);
    }
  }
}

// Pages of one key/value head that are worked on together.
struct PageTiles {
  const uint16_t* values[kMostAttentionBlocking.pages] = {};  // [16, E]
  uint16_t* keys = nullptr;                                   // [pages][16, E], as rows
  float* d_keys = nullptr;                                    // [pages][16, E]
  float* d_values = nullptr;                                  // [pages][16, E]
};

template <typename T, typename V>
void AttentionBackwardPagesOnTiles(const AttentionBackwardArgs& args, const PageRun& pages,
                                   int64_t kv_head, const float* delta, float* scratch) {
  if (!FitsTiles(args.shape))
    return AttentionBackwardPages<V>(args, pages, kv_head, delta, scratch);
  const int64_t width = args.shape.head_width;
  const int64_t page_elements = kPageTokens * width;
  const auto take_bf16 = [&](int64_t count) {
    return reinterpret_cast<uint16_t*>(Take(scratch, count / 2));
  };
  RowRun run;
  for (uint16_t** const array :
       {&run.rows, &run.turned_q, &run.turned_d_out, &run.paired_q, &run.paired_d_out}) {
    *array = take_bf16(kRunRows * width);
  }
  for (float** const array : {&run.shifts, &run.delta, &run.positions})
    *array = Take(scratch, kRunRows);
  PageTiles work;
  work.keys = take_bf16(pages.count * page_elements);
  work.d_keys = Take(scratch, pages.count * page_elements);
  work.d_values = Take(scratch, pages.count * page_elements);
  uint16_t* const p = take_bf16(kPageTokens * kRunRows);
  uint16_t* const ds = take_bf16(kPageTokens * kRunRows);
  TileGradients gradients[2];
  TakeGradients(scratch, gradients);
  const AttentionSequence& first_user = *pages.uses[0].sequence;
  const auto number = [&](int64_t page) { return first_user.pages[pages.uses[0].ordinal + page]; };
  for (int64_t page = 0; page < pages.count; ++page) {
    const int64_t at = (number(page) * args.shape.kv_heads + kv_head) * page_elements;
    work.values[page] = static_cast<const uint16_t*>(args.cache.values) + at;
    RowsOfKeys<V>(static_cast<const uint16_t*>(args.cache.keys) + at, width,
                  work.keys + page * page_elements);
  }
  for (int64_t i = 0; i < pages.count * page_elements; i += 16) {
    V::Store(work.d_keys + i, V::Zero());
    V::Store(work.d_values + i, V::Zero());
  }

  const uint16_t *turned_q[kBlockPages], *turned_d_out[kBlockPages];
  for (int64_t i = 0; i < kBlockPages; ++i) {
    turned_q[i] = run.turned_q + i * 16 * width;
    turned_d_out[i] = run.turned_d_out + i * 16 * width;
  }
  const uint16_t *paired_q[kMaxPanels], *paired_d_out[kMaxPanels];
  for (int64_t i = 0; i < width / 16; ++i) {
    paired_q[i] = run.paired_q + i * 2 * kTileElements;
    paired_d_out[i] = run.paired_d_out + i * 2 * kTileElements;
  }
  const auto multiply = [&](const uint16_t* x, const uint16_t* const* weights, float* sums) {
    Multiply<T, false>({.inputs = x,
                        .input_stride = width,
                        .steps = width / 32,
                        .weights = weights,
                        .panels = kBlockPages,
                        .sums = sums,
                        .sum_stride = kRunRows});
  };
  const auto add = [&](const uint16_t* x, const uint16_t* const* weights, float* sums) {
    Multiply<T, true>({.inputs = x,
                       .input_stride = kRunRows,
                       .steps = kRunRows / 32,
                       .weights = weights,
                       .panels = width / 16,
                       .sums = sums,
                       .sum_stride = width});
  };
  const auto score = [&](int64_t page) {
    multiply(work.keys + page * page_elements, turned_q, gradients[page % 2].scores);
    multiply(work.values[page], turned_d_out, gradients[page % 2].d_p);
  };
  const float scale = args.scale * kLog2E;
  T::Configure(ConfigFor({kTileRows, kTileRows}));
  int64_t held = 0;
  for (int64_t u = 0; u < pages.use_count; ++u) {
    const AttentionSequence& sequence = *pages.uses[u].sequence;
    const int64_t first_key = pages.uses[u].ordinal * kPageTokens;
    held = sequence.key_count - first_key > held ? sequence.key_count - first_key : held;
    const AttentionRows rows = RowsOf(
        args, {.sequence = &sequence, .kv_head = kv_head, .query_end = sequence.query_count});
    const int64_t before = first_key > rows.first_position ? first_key - rows.first_position : 0;
    for (int64_t row = before * rows.group / kRunRows * kRunRows; row < rows.count;
         row += kRunRows) {
      const int64_t last = row + kRunRows < rows.count ? row + kRunRows : rows.count;
      // A run before the first row that sees a page would add nothing but zeros to it.
      const int64_t seen = (rows.Position(last - 1) - first_key) / kPageTokens + 1;
      const int64_t count = seen < pages.count ? seen : pages.count;
      FillRun<V>(args, rows, row, delta, run);
      score(0);
      for (int64_t page = 0; page < count; ++page) {
        if (page + 1 < count) score(page + 1);  // while the vectors work on this one
        GradientsOfRows<V>(run, gradients[page % 2], scale, first_key + page * kPageTokens, p, ds);
        add(p, paired_d_out, work.d_values + page * page_elements);
        add(ds, paired_q, work.d_keys + page * page_elements);
      }
    }
  }
  T::Release();
  const auto factor = V::Set1(args.scale);
  for (int64_t i = 0; i < pages.count * kPageTokens && i < held; ++i) {
    const int64_t slot = number(i / kPageTokens) * kPageTokens + i % kPageTokens;
    float* const d_keys = args.d_keys + (slot * args.shape.kv_heads + kv_head) * width;
    float* const d_values = args.d_values + (slot * args.shape.kv_heads + kv_head) * width;
    for (int64_t e = 0; e < width; e += 16) {
      V::Store(d_keys + e,
               V::Fma(V::Load(work.d_keys + i * width + e), factor, V::Load(d_keys + e)));
      V::Store(d_values + e, V::Add(V::Load(work.d_values + i * width + e), V::Load(d_values + e)));
    }
  }
}

}  // namespace ponder::kernels::cpu
