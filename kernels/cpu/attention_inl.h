#pragma once

#include <cstdint>

#include "kernels/cpu/math_inl.h"
#include "kernels/cpu/primitives.h"

// Attention over pages of 16 keys, in fp32 (bf16 keys and values are widened, which is exact). A
// row is a (query, head) pair; what a row computes never depends on the rows beside it: scores are
// chains over e, values chains over the positions, pages in order, and rows that see only a part of
// a page leave out the rest of the chain.
namespace ponder::kernels::cpu {

inline constexpr float kMinusInfinity = -__builtin_inff();

static inline int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }

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

// scores[r] = q[r] . key for R rows and the 16 keys of a page.
template <typename V, int R>
inline void PageScores(const float* q, int64_t stride, const void* keys, DType dtype, int64_t width,
                       typename V::F (&scores)[R]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) scores[r] = V::Zero();
  if (dtype == DType::kBF16) {
    const uint16_t* page = static_cast<const uint16_t*>(keys);
    for (int64_t e = 0; e < width; e += 2) {
      const auto pairs = V::LoadPairs(page + e * kPageTokens);
      const auto even = V::Low(pairs);
      const auto odd = V::High(pairs);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const float* x = q + r * stride + e;
        scores[r] = V::Fma(V::Set1(x[1]), odd, V::Fma(V::Set1(x[0]), even, scores[r]));
      }
    }
  } else {
    const float* page = static_cast<const float*>(keys);
    for (int64_t e = 0; e < width; ++e) {
      const auto key = V::Load(page + e * kPageTokens);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) scores[r] = V::Fma(V::Set1(q[r * stride + e]), key, scores[r]);
    }
  }
}

// acc[r] = acc[r] * alpha[r] + sum over positions s < count of p[r][s] value[s], for R rows; p has
// 16 columns.
template <typename V, int R>
inline void AddValues(const float* p, const float* alpha, const void* values, DType dtype,
                      int64_t width, int count, float* acc, int64_t acc_stride) {
  ForEach16(width, [&](int64_t e, int c) {
    typename V::F sum[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      sum[r] = V::Mul(V::Load(acc + r * acc_stride + e), V::Set1(alpha[r]));
    for (int s = 0; s < count; ++s) {
      const auto value = LoadActN<V>(values, dtype, s * width + e, c);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r] = V::Fma(V::Set1(p[r * 16 + s]), value, sum[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) V::Store(acc + r * acc_stride + e, sum[r]);
  });
}

struct AttentionState {
  float* q = nullptr;       // [rows, width16], scaled
  float* acc = nullptr;     // [rows, width16]
  float* sums = nullptr;    // [rows, 16]: of p, by lane
  float* maxima = nullptr;  // [rows]
  int64_t stride = 0;       // width16
};

// One page for rows [row, row + R): scores, the running maximum, values.
template <typename V, int R>
inline void PageStep(const AttentionState& state, const AttentionRows& rows, int64_t row,
                     int64_t first_key, const void* keys, const void* values, DType dtype,
                     int64_t width) {
  typename V::F scores[R];
  PageScores<V, R>(state.q + row * state.stride, state.stride, keys, dtype, width, scores);
  alignas(64) float changes[16] = {};
  alignas(64) float p[R * 16];
  int visible[R];
  bool all = true;
  for (int r = 0; r < R; ++r) {
    const int64_t seen = rows.Position(row + r) + 1 - first_key;
    visible[r] = seen >= kPageTokens ? 16 : seen <= 0 ? 0 : static_cast<int>(seen);
    all = all && visible[r] == 16;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if (!all) scores[r] = V::KeepFirst(scores[r], visible[r], kMinusInfinity);
    const float page_max = V::MaxOf(scores[r]);
    const float old_max = state.maxima[row + r];
    const float new_max = page_max > old_max ? page_max : old_max;
    changes[r] = old_max - new_max;
    state.maxima[row + r] = new_max;
    V::Store(p + r * 16, Exp<V>(V::Sub(scores[r], V::Set1(new_max))));
  }
  alignas(64) float alpha[16];
  V::Store(alpha, Exp<V>(V::Load(changes)));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* sum = state.sums + (row + r) * 16;
    V::Store(sum, V::Fma(V::Load(sum), V::Set1(alpha[r]), V::Load(p + r * 16)));
  }
  float* acc = state.acc + row * state.stride;
  if (all) {
    AddValues<V, R>(p, alpha, values, dtype, width, 16, acc, state.stride);
  } else {
    for (int r = 0; r < R; ++r) {
      AddValues<V, 1>(p + r * 16, alpha + r, values, dtype, width, visible[r],
                      acc + r * state.stride, state.stride);
    }
  }
}

// step(R, row) over [0, count) in runs of kAttentionRows and one shorter rest.
template <typename V, int R, typename Step>
inline void ForRest(int64_t rest, int64_t row, Step step) {
  if (rest == R) return step.template operator()<R>(row);
  if constexpr (R > 1) ForRest<V, R - 1>(rest, row, step);
}
template <typename V, typename Step>
inline void ForRowTiles(int64_t count, Step step) {
  int64_t row = 0;
  for (; row + V::kAttentionRows <= count; row += V::kAttentionRows)
    step.template operator()<V::kAttentionRows>(row);
  if (row < count) ForRest<V, V::kAttentionRows>(count - row, row, step);
}

template <typename V>
void Attention(const AttentionArgs& args, const AttentionItem& item, float* scratch) {
  const int64_t width = args.shape.head_width;
  const AttentionRows rows = RowsOf(args, item);
  AttentionState state;
  state.stride = RoundUp16(width);
  state.q = scratch;
  state.acc = state.q + rows.count * state.stride;
  state.sums = state.acc + rows.count * state.stride;
  state.maxima = state.sums + rows.count * 16;
  for (int64_t row = 0; row < rows.count; ++row) {
    const float* q = args.q + rows.At(row) * width;
    ForEach16(width, [&](int64_t e, int c) {
      V::Store(state.q + row * state.stride + e, V::Mul(V::LoadN(q + e, c), V::Set1(args.scale)));
      V::Store(state.acc + row * state.stride + e, V::Zero());
    });
    V::Store(state.sums + row * 16, V::Zero());
    state.maxima[row] = kMinusInfinity;
  }
  const int64_t pages = rows.Position(rows.count - 1) / kPageTokens + 1;
  for (int64_t page = 0; page < pages; ++page) {
    const int64_t at =
        (item.sequence->pages[page] * args.shape.kv_heads + item.kv_head) * kPageTokens * width;
    const void* keys = ActAt(static_cast<const void*>(args.cache.keys), args.shape.dtype, at);
    const void* values = ActAt(static_cast<const void*>(args.cache.values), args.shape.dtype, at);
    ForRowTiles<V>(rows.count, [&]<int R>(int64_t row) {
      PageStep<V, R>(state, rows, row, page * kPageTokens, keys, values, args.shape.dtype, width);
    });
  }
  const int64_t padded = PaddedInputs(args.heads * width);
  for (int64_t row = 0; row < rows.count; ++row) {
    const float sum = V::Sum(V::Load(state.sums + row * 16));
    const int64_t query = rows.first_query + row / rows.group;
    const int64_t head = rows.first_head + row % rows.group;
    void* out = ActAt(args.out, args.out_act, query * padded);
    ForEach16(width, [&](int64_t e, int c) {
      const auto value = V::Div(V::Load(state.acc + row * state.stride + e), V::Set1(sum));
      StoreActN<V>(out, args.out_act, head * width + e, value, c);
    });
    if (head == args.heads - 1) ZeroAct(out, args.out_act, args.heads * width, padded);
    if (args.logsumexp != nullptr) {
      args.logsumexp[rows.At(row)] = state.maxima[row] + static_cast<float>(__builtin_log(sum));
    }
  }
}

}  // namespace ponder::kernels::cpu
