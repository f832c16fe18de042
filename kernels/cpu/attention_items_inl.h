#pragma once

#include <cstdint>

#include "kernels/cpu/math_inl.h"
#include "kernels/cpu/primitives.h"

// What attention's kernels share: the rows of an item, what is kept of them between blocks of four
// pages, and the walk over the blocks. A row is a (query, head) pair. The running maximum moves on
// once for each block, counted from the sequence's start.
namespace ponder::kernels::cpu {

inline constexpr float kMinusInfinity = -__builtin_inff();

// The next floats of a scratch array, 64-byte aligned.
static inline float* Take(float*& scratch, int64_t floats) {
  float* taken = scratch;
  scratch += RoundUp16(floats);
  return taken;
}

// The rows of an item: (query, head of the group) pairs, heads inside.
struct AttentionRows {
  int64_t group = 0;  // H / K
  int64_t count = 0;
  int64_t first_query = 0;  // row of q of the item's first query
  int64_t first_head = 0;
  int64_t heads = 0;
  int64_t first_position = 0;  // of the item's first query

  [[gnu::always_inline]] int64_t Position(int64_t row) const {
    return first_position + row / group;
  }
  // Index into [N, H] arrays.
  [[gnu::always_inline]] int64_t At(int64_t row) const {
    return (first_query + row / group) * heads + first_head + row % group;
  }
};

template <typename Args>
static inline AttentionRows RowsOf(const Args& args, const AttentionItem& item) {
  const AttentionSequence& sequence = *item.sequence;
  AttentionRows rows;
  rows.group = args.heads / args.shape.kv_heads;
  rows.count = (item.query_end - item.query_begin) * rows.group;
  rows.first_query = sequence.query_begin + item.query_begin;
  rows.first_head = item.kv_head * rows.group;
  rows.heads = args.heads;
  rows.first_position = sequence.key_count - sequence.query_count + item.query_begin;
  return rows;
}

inline constexpr int kBlockKeys = kBlockPages * static_cast<int>(kPageTokens);

// Inlined always: GCC takes a function that only prefetches for one without effect.
[[gnu::always_inline]] static inline void FetchLine(const void* line) {
  __builtin_prefetch(line, 0, 2);
}

// The rows of an item with what is kept of them between blocks.
struct AttentionState {
  int64_t* at = nullptr;         // [rows]: index into [N, H] arrays
  int64_t* positions = nullptr;  // [rows]: the last key that the row sees
  float* acc = nullptr;          // [rows, width16]: sum of p value
  float* sums = nullptr;         // [rows, 16]: of p, by lane
  float* maxima = nullptr;       // [rows]
  int64_t count = 0;
  int64_t stride = 0;  // width16
};

// Of all rows, before the first block.
template <typename V>
inline AttentionState TakeState(const AttentionArgs& args, const AttentionItem& item,
                                float*& scratch) {
  AttentionState state;
  state.stride = RoundUp16(args.shape.head_width);
  state.count = (item.query_end - item.query_begin) * (args.heads / args.shape.kv_heads) *
                item.sequence_count;
  state.acc = Take(scratch, state.count * state.stride);
  state.sums = Take(scratch, state.count * 16);
  state.maxima = Take(scratch, state.count);
  constexpr int64_t kFloats = sizeof(int64_t) / sizeof(float);
  state.at = reinterpret_cast<int64_t*>(Take(scratch, state.count * kFloats));
  state.positions = reinterpret_cast<int64_t*>(Take(scratch, state.count * kFloats));
  int64_t row = 0;
  for (int64_t i = 0; i < item.sequence_count; ++i) {
    AttentionItem one = item;
    one.sequence = item.sequence + i;
    const AttentionRows rows = RowsOf(args, one);
    for (int64_t r = 0; r < rows.count; ++r, ++row) {
      state.at[row] = rows.At(r);
      state.positions[row] = rows.Position(r);
    }
  }
  for (row = 0; row < state.count; ++row) {
    for (int64_t e = 0; e < state.stride; e += 16)
      V::Store(state.acc + row * state.stride + e, V::Zero());
    V::Store(state.sums + row * 16, V::Zero());
    state.maxima[row] = kMinusInfinity;
  }
  return state;
}

struct KeyBlock {
  const void* keys[kBlockPages] = {};
  const void* values[kBlockPages] = {};
  int pages = 0;     // that the sequence has
  int64_t held = 0;  // positions that the sequence has, from the first on; may be more than a block
  int64_t first_key = 0;
  DType dtype = DType::kBF16;
  int64_t width = 0;

  // How many of the block's keys a row sees whose last key is `position`.
  [[gnu::always_inline]] int Visible(int64_t position) const {
    const int64_t seen = position + 1 - first_key;
    return seen >= kBlockKeys ? kBlockKeys : seen <= 0 ? 0 : static_cast<int>(seen);
  }
};

// Keys and values of block `b` of a sequence, as far as it has pages.
template <typename Args>
static inline KeyBlock BlockAt(const Args& args, const AttentionSequence& sequence, int64_t kv_head,
                               int64_t b) {
  const int64_t width = args.shape.head_width;
  const int64_t pages = (sequence.key_count + kPageTokens - 1) / kPageTokens;
  KeyBlock block;
  block.first_key = b * kBlockKeys;
  block.held = sequence.key_count - block.first_key;
  block.dtype = args.shape.dtype;
  block.width = width;
  for (; block.pages < kBlockPages && b * kBlockPages + block.pages < pages; ++block.pages) {
    const int64_t page = sequence.pages[b * kBlockPages + block.pages];
    const int64_t at = (page * args.shape.kv_heads + kv_head) * kPageTokens * width;
    block.keys[block.pages] = ActAt(static_cast<const void*>(args.cache.keys), block.dtype, at);
    block.values[block.pages] = ActAt(static_cast<const void*>(args.cache.values), block.dtype, at);
  }
  return block;
}

// Blocks [begin, end) of a sequence's pages for rows [row, row + count); `after` is what will be
// wanted then, or has no pages. A page is too short for the hardware's prefetcher to see a stream
// in it, so each block is fetched while the one before it is in work.
template <typename Visit>
inline void VisitBlocks(const AttentionArgs& args, const AttentionSequence& sequence,
                        int64_t kv_head, int64_t row, int64_t count, int64_t begin, int64_t end,
                        const KeyBlock& after, Visit& visit) {
  if (begin >= end) return;
  KeyBlock block = BlockAt(args, sequence, kv_head, begin);
  for (int64_t b = begin; b < end; ++b) {
    KeyBlock next = b + 1 < end ? BlockAt(args, sequence, kv_head, b + 1) : after;
    const KeyBlock coming = next;
    // Where a page is missing another one is fetched twice.
    for (int page = next.pages; next.pages > 0 && page < kBlockPages; ++page) {
      next.keys[page] = next.keys[0];
      next.values[page] = next.values[0];
    }
    visit(row, count, block, next.pages > 0 ? &next : nullptr);
    block = coming;
  }
}

// visit(first row, rows, block, next) for every block and the rows that read it: all rows together
// as far as the sequences share their pages, then each sequence's by themselves. `next`, or null,
// is the block that will be wanted afterwards, with all its pages.
template <typename Visit>
inline void VisitBlocks(const AttentionArgs& args, const AttentionItem& item,
                        const AttentionItem* next, const AttentionState& state, Visit visit) {
  const int64_t shared = item.sequence_count > 1 ? item.shared_pages / kBlockPages : 0;
  VisitBlocks(args, *item.sequence, item.kv_head, 0, state.count, 0, shared,
              BlockAt(args, *item.sequence, item.kv_head, shared), visit);
  const int64_t rows_each = state.count / item.sequence_count;
  for (int64_t i = 0; i < item.sequence_count; ++i) {
    const int64_t first = i * rows_each;
    const int64_t blocks = state.positions[first + rows_each - 1] / kBlockKeys + 1;
    KeyBlock after;
    if (i + 1 < item.sequence_count) {
      after = BlockAt(args, item.sequence[i + 1], item.kv_head, shared);
    } else if (next != nullptr) {
      after = BlockAt(args, *next->sequence, next->kv_head, 0);
    }
    VisitBlocks(args, item.sequence[i], item.kv_head, first, rows_each, shared, blocks, after,
                visit);
  }
}

// After the last block. `unit` is what the maxima are counted in: 1, or ln 2 for powers of two.
template <typename V>
inline void FinishRows(const AttentionArgs& args, const AttentionState& state, float unit) {
  const int64_t width = args.shape.head_width;
  const int64_t padded = PaddedInputs(args.heads * width);
  for (int64_t row = 0; row < state.count; ++row) {
    const float sum = V::Sum(V::Load(state.sums + row * 16));
    const int64_t query = state.at[row] / args.heads;
    const int64_t head = state.at[row] % args.heads;
    void* out = ActAt(args.out, args.out_act, query * padded);
    ForEach16(width, [&](int64_t e, int c) {
      const auto value = V::Div(V::Load(state.acc + row * state.stride + e), V::Set1(sum));
      StoreActN<V>(out, args.out_act, head * width + e, value, c);
    });
    if (head == args.heads - 1) ZeroAct(out, args.out_act, args.heads * width, padded);
    if (args.logsumexp != nullptr) {
      args.logsumexp[state.at[row]] =
          state.maxima[row] * unit + static_cast<float>(__builtin_log(sum));
    }
  }
}

}  // namespace ponder::kernels::cpu
