#pragma once

#include <cstdint>

#include "kernels/cpu/attention_inl.h"

// With s = scale q.k, p = exp(s - logsumexp), dp = d_out.v and delta = out.d_out:
//   d_v += p d_out;  ds = p (dp - delta);  d_q = scale sum ds k;  d_k += ds scale q
// Once by queries for d_q, once by pages for d_k and d_v: nothing is shared between items, so any
// number of threads gives the same bits.
namespace ponder::kernels::cpu {

// A page of one key/value head in fp32, both ways round.
struct WidePage {
  float* keys_by_element = nullptr;    // [E][16]
  float* values_by_element = nullptr;  // [E][16]
  float* keys_by_place = nullptr;      // [16][E]
};

// The first `rows` rows of the transpose of a 16 x 16 tile.
template <typename V>
inline void TransposeTile(const float* tile, int rows, float* out) {
  alignas(64) float turned[16 * 16];
  V::Transpose16(reinterpret_cast<const uint32_t*>(tile), 16,
                 reinterpret_cast<uint32_t*>(rows < 16 ? turned : out), 16);
  if (rows == 16) return;
  for (int row = 0; row < rows; ++row) V::Store(out + row * 16, V::Load(turned + row * 16));
}

template <typename V>
inline void Widen(const KvLayer& cache, const KvShape& shape, int64_t page, int64_t kv_head,
                  const WidePage& out) {
  const int64_t width = shape.head_width;
  const int64_t at = (page * shape.kv_heads + kv_head) * kPageTokens * width;
  if (shape.dtype == DType::kBF16) {
    const uint16_t* keys = static_cast<const uint16_t*>(cache.keys) + at;
    for (int64_t e = 0; e < width; e += 2) {
      const auto pairs = V::LoadPairs(keys + e * kPageTokens);
      V::Store(out.keys_by_element + e * 16, V::Low(pairs));
      V::Store(out.keys_by_element + (e + 1) * 16, V::High(pairs));
    }
  } else {
    const float* keys = static_cast<const float*>(cache.keys) + at;
    for (int64_t e = 0; e < width; ++e)
      V::Store(out.keys_by_element + e * 16, V::Load(keys + e * 16));
  }
  const void* values = ActAt(static_cast<const void*>(cache.values), shape.dtype, at);
  alignas(64) float tile[16 * 16];
  ForEach16(width, [&](int64_t e, int c) {
    for (int64_t s = 0; s < kPageTokens; ++s) {
      V::Store(tile + s * 16, LoadActN<V>(values, shape.dtype, s * width + e, c));
    }
    TransposeTile<V>(tile, c, out.values_by_element + e * 16);
  });
  if (out.keys_by_place == nullptr) return;
  ForEach16(width, [&](int64_t e, int c) {
    // The rows behind a short run are those of an element that is not, and not looked at.
    const float* keys = out.keys_by_element + e * 16;
    if (c < 16) {
      for (int i = 0; i < c; ++i) V::Store(tile + i * 16, V::Load(keys + i * 16));
      keys = tile;
    }
    alignas(64) float places[16 * 16];
    TransposeTile<V>(keys, 16, places);
    for (int64_t s = 0; s < kPageTokens; ++s) {
      V::StoreN(out.keys_by_place + s * width + e, V::Load(places + s * 16), c);
    }
  });
}

// Copies of an item's rows, and what is computed of them for one page.
struct BackwardRows {
  float* q = nullptr;      // [rows, width16], scaled
  float* d_out = nullptr;  // [rows, width16]
  float* p = nullptr;      // [rows, 16]
  float* ds = nullptr;     // [rows, 16]
  int64_t stride = 0;
};

template <typename V>
inline void GatherRows(const AttentionBackwardArgs& args, const AttentionRows& rows,
                       const BackwardRows& out) {
  const int64_t width = args.shape.head_width;
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t at = rows.At(row) * width;
    ForEach16(width, [&](int64_t e, int c) {
      V::Store(out.q + row * out.stride + e,
               V::Mul(V::LoadN(args.q + at + e, c), V::Set1(args.scale)));
      V::Store(out.d_out + row * out.stride + e, V::LoadN(args.d_out + at + e, c));
    });
  }
}

// p and ds of all rows for one page. Keys a row does not see, or that hold nothing, get 0.
template <typename V>
inline void PageGradients(const AttentionBackwardArgs& args, const AttentionRows& rows,
                          const WidePage& page, int64_t first_key, const float* delta,
                          const BackwardRows& work) {
  const int64_t width = args.shape.head_width;
  ForRowTiles<V>(rows.count, [&]<int R>(int64_t row) {
    alignas(64) float s[R * 16], dp[R * 16];
    const void* const keys[1] = {page.keys_by_element};
    const void* const values[1] = {page.values_by_element};
    PageScores<V, R, 1>(work.q + row * work.stride, work.stride, keys, nullptr, DType::kF32, width,
                        s);
    PageScores<V, R, 1>(work.d_out + row * work.stride, work.stride, values, nullptr, DType::kF32,
                        width, dp);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const int64_t seen = rows.Position(row + r) + 1 - first_key;
      const int visible = seen >= kPageTokens ? 16 : seen <= 0 ? 0 : static_cast<int>(seen);
      const int64_t at = rows.At(row + r);
      const auto p = Exp<V>(V::Sub(V::Load(s + r * 16), V::Set1(args.logsumexp[at])));
      const auto ds = V::Mul(p, V::Sub(V::Load(dp + r * 16), V::Set1(delta[at])));
      V::Store(work.p + (row + r) * 16, V::KeepFirst(p, visible, 0.0f));
      V::Store(work.ds + (row + r) * 16, V::KeepFirst(ds, visible, 0.0f));
    }
  });
}

// out[s][e] += sum over rows of p[row][s] x[row][e], S places of the page at a time: a power of
// two.
template <typename V>
inline void AddOuter(const float* p, const float* x, int64_t x_stride, int64_t rows,
                     int64_t width16, float* out) {
  constexpr int S = V::kAttentionRows >= 8 ? 8 : V::kAttentionRows >= 4 ? 4 : 2;
  for (int64_t e = 0; e < width16; e += 16) {
    for (int s = 0; s < kPageTokens; s += S) {
      typename V::F sum[S];
#pragma GCC unroll 8
      for (int i = 0; i < S; ++i) sum[i] = V::Load(out + (s + i) * width16 + e);
      for (int64_t row = 0; row < rows; ++row) {
        const auto value = V::Load(x + row * x_stride + e);
#pragma GCC unroll 8
        for (int i = 0; i < S; ++i) sum[i] = V::Fma(V::Set1(p[row * 16 + s + i]), value, sum[i]);
      }
#pragma GCC unroll 8
      for (int i = 0; i < S; ++i) V::Store(out + (s + i) * width16 + e, sum[i]);
    }
  }
}

template <typename V>
void AttentionDelta(const AttentionBackwardArgs& args, int64_t begin, int64_t end, float* delta) {
  const int64_t width = args.shape.head_width;
  const int64_t padded = PaddedInputs(args.heads * width);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t head = 0; head < args.heads; ++head) {
      const float* d_out = args.d_out + (row * args.heads + head) * width;
      auto sum = V::Zero();
      ForEach16(width, [&](int64_t e, int c) {
        sum = V::Fma(LoadActN<V>(args.out, args.out_act, row * padded + head * width + e, c),
                     V::LoadN(d_out + e, c), sum);
      });
      delta[row * args.heads + head] = V::Sum(sum);
    }
  }
}

template <typename V>
void AttentionBackwardQueries(const AttentionBackwardArgs& args, const AttentionItem& item,
                              const float* delta, float* scratch) {
  const int64_t width = args.shape.head_width;
  const AttentionRows rows = RowsOf(args, item);
  BackwardRows work;
  work.stride = RoundUp16(width);
  work.q = Take(scratch, rows.count * work.stride);
  work.d_out = Take(scratch, rows.count * work.stride);
  work.p = Take(scratch, rows.count * 16);
  work.ds = Take(scratch, rows.count * 16);
  float* d_q = Take(scratch, rows.count * work.stride);
  float* ones = Take(scratch, 16);
  WidePage page;
  page.keys_by_element = Take(scratch, width * 16);
  page.values_by_element = Take(scratch, width * 16);
  page.keys_by_place = Take(scratch, width * 16);
  GatherRows<V>(args, rows, work);
  for (int64_t i = 0; i < rows.count * work.stride; i += 16) V::Store(d_q + i, V::Zero());
  V::Store(ones, V::Set1(1.0f));
  const int64_t pages = rows.Position(rows.count - 1) / kPageTokens + 1;
  for (int64_t ordinal = 0; ordinal < pages; ++ordinal) {
    Widen<V>(args.cache, args.shape, item.sequence->pages[ordinal], item.kv_head, page);
    PageGradients<V>(args, rows, page, ordinal * kPageTokens, delta, work);
    const int64_t held = item.sequence->key_count - ordinal * kPageTokens;
    const int count = held >= kPageTokens ? 16 : static_cast<int>(held);
    const void* const keys[1] = {page.keys_by_place};
    const ValueBlock block = {.pages = keys, .dtype = DType::kF32, .width = width, .end = count};
    ForRowTiles<V>(rows.count, [&]<int R>(int64_t row) {
      AddValues<V, R>(work.ds + row * 16, 16, ones, block, d_q + row * work.stride, work.stride);
    });
  }
  for (int64_t row = 0; row < rows.count; ++row) {
    float* out = args.d_q + rows.At(row) * width;
    ForEach16(width, [&](int64_t e, int c) {
      V::StoreN(out + e, V::Mul(V::Load(d_q + row * work.stride + e), V::Set1(args.scale)), c);
    });
  }
}

// Page `index` of a run.
template <typename V>
inline void AttentionBackwardPage(const AttentionBackwardArgs& args, const PageRun& run,
                                  int64_t index, int64_t kv_head, const float* delta,
                                  float* scratch) {
  const int64_t width = args.shape.head_width;
  const int64_t width16 = RoundUp16(width);
  const int64_t group = args.heads / args.shape.kv_heads;
  const int64_t queries_at_once = kAttentionItemRows > group ? kAttentionItemRows / group : 1;
  BackwardRows work;
  work.stride = width16;
  work.q = Take(scratch, queries_at_once * group * width16);
  work.d_out = Take(scratch, queries_at_once * group * width16);
  work.p = Take(scratch, queries_at_once * group * 16);
  work.ds = Take(scratch, queries_at_once * group * 16);
  WidePage page;
  page.keys_by_element = Take(scratch, width * 16);
  page.values_by_element = Take(scratch, width * 16);
  float* d_keys = Take(scratch, width16 * 16);
  float* d_values = Take(scratch, width16 * 16);
  for (int64_t i = 0; i < width16 * 16; i += 16) {
    V::Store(d_keys + i, V::Zero());
    V::Store(d_values + i, V::Zero());
  }
  const int64_t number = run.uses[0].sequence->pages[run.uses[0].ordinal + index];
  Widen<V>(args.cache, args.shape, number, kv_head, page);
  int64_t held = 0;
  for (int64_t u = 0; u < run.use_count; ++u) {
    const AttentionSequence& sequence = *run.uses[u].sequence;
    const int64_t first_key = (run.uses[u].ordinal + index) * kPageTokens;
    const int64_t keys = sequence.key_count - first_key;
    held = keys > held ? keys : held;
    const int64_t before = first_key - (sequence.key_count - sequence.query_count);
    for (int64_t query = before > 0 ? before : 0; query < sequence.query_count;
         query += queries_at_once) {
      const int64_t end = query + queries_at_once;
      const AttentionItem item = {&sequence, kv_head, query,
                                  end < sequence.query_count ? end : sequence.query_count};
      const AttentionRows rows = RowsOf(args, item);
      GatherRows<V>(args, rows, work);
      PageGradients<V>(args, rows, page, first_key, delta, work);
      AddOuter<V>(work.p, work.d_out, width16, rows.count, width16, d_values);
      AddOuter<V>(work.ds, work.q, width16, rows.count, width16, d_keys);
    }
  }
  for (int64_t s = 0; s < kPageTokens && s < held; ++s) {
    const int64_t at = ((number * kPageTokens + s) * args.shape.kv_heads + kv_head) * width;
    ForEach16(width, [&](int64_t e, int c) {
      V::StoreN(args.d_keys + at + e,
                V::Add(V::LoadN(args.d_keys + at + e, c), V::Load(d_keys + s * width16 + e)), c);
      V::StoreN(args.d_values + at + e,
                V::Add(V::LoadN(args.d_values + at + e, c), V::Load(d_values + s * width16 + e)),
                c);
    });
  }
}

template <typename V>
void AttentionBackwardPages(const AttentionBackwardArgs& args, const PageRun& run, int64_t kv_head,
                            const float* delta, float* scratch) {
  for (int64_t index = 0; index < run.count; ++index)
    AttentionBackwardPage<V>(args, run, index, kv_head, delta, scratch);
}

}  // namespace ponder::kernels::cpu
