#pragma once

#include <cstdint>

#include "kernels/cpu/attention_items_inl.h"

// Attention in fp32 vectors (bf16 keys and values are widened, which is exact). What a row computes
// never depends on the rows beside it: scores are chains over e, values chains over the positions.
namespace ponder::kernels::cpu {

// Vectors beside one another for each of R rows: a power of two that the registers hold, at most 4.
template <typename V>
constexpr int SideBySide(int rows) {
  int count = 1;
  while (count < 4 && rows * count * 2 <= V::kAccumulators) count *= 2;
  return count;
}

// scores[r][page] += the product of one element of R queries, stride apart, and of 16 keys.
template <typename V, int R, int P>
[[gnu::always_inline]] inline void AddPage(const float* q, int64_t stride, typename V::F key,
                                           typename V::F (&scores)[R][P], int page) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
    scores[r][page] = V::Fma(V::Set1(q[r * stride]), key, scores[r][page]);
}

// out[r][i] = q[r] . key for R rows and the 16 keys of each of P pages. On the way the pages
// `fetch`, or null, come into the cache, line by line: all at once they would stand in the way. Not
// inlined: constants of the caller would take registers from the sums.
template <typename V, int R, int P>
[[gnu::noinline]] void PageScores(const float* q, int64_t stride, const void* const* keys,
                                  const void* const* fetch, DType dtype, int64_t width,
                                  float* out) {
  typename V::F scores[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) scores[r][i] = V::Zero();
  }
  if (dtype == DType::kBF16) {
    for (int64_t e = 0; e < width; e += 2) {
#pragma GCC unroll 4
      for (int i = 0; i < P; ++i) {
        const uint16_t* const key = static_cast<const uint16_t*>(keys[i]) + e * kPageTokens;
        if (fetch != nullptr) FetchLine(static_cast<const uint16_t*>(fetch[i]) + e * kPageTokens);
        AddPage<V, R, P>(q + e, stride, V::Low(V::LoadPairs(key)), scores, i);
        AddPage<V, R, P>(q + e + 1, stride, V::High(V::LoadPairs(key)), scores, i);
      }
    }
  } else {
    for (int64_t e = 0; e < width; ++e) {
#pragma GCC unroll 4
      for (int i = 0; i < P; ++i) {
        const float* const key = static_cast<const float*>(keys[i]) + e * kPageTokens;
        if (fetch != nullptr) FetchLine(static_cast<const float*>(fetch[i]) + e * kPageTokens);
        AddPage<V, R, P>(q + e, stride, V::Load(key), scores, i);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) V::Store(out + (r * P + i) * 16, scores[r][i]);
  }
}

// What one call of AddValues works on: positions [begin, end) of a block.
struct ValueBlock {
  const void* const* pages = nullptr;  // of values
  const void* const* fetch = nullptr;  // pages to bring into the cache on the way, or null
  DType dtype = DType::kBF16;
  int64_t width = 0;
  int begin = 0;
  int end = 0;
};

// acc[r] = acc[r] * alpha[r] + sum over the positions s of p[r][s] value[s], for R rows and C runs
// of 16 elements from e on, or, with kRest, for the n < 16 last elements (C = 1).
template <typename V, int R, int C, bool kRest>
inline void AddValueRuns(const float* p, int64_t p_stride, const float* alpha,
                         const ValueBlock& block, int64_t e, int n, float* acc,
                         int64_t acc_stride) {
  typename V::F sum[R][C];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < C; ++i) {
      sum[r][i] = V::Mul(V::Load(acc + r * acc_stride + e + 16 * i), V::Set1(alpha[r]));
    }
  }
  for (int s = block.begin; s < block.end;) {
    const int page = s / static_cast<int>(kPageTokens);
    const int page_end = (page + 1) * static_cast<int>(kPageTokens);
    const int stop = page_end < block.end ? page_end : block.end;
    int64_t at = (s % kPageTokens) * block.width + e;
    for (; s < stop; ++s, at += block.width) {
      if (block.fetch != nullptr) {
        const void* const fetched = ActAt(block.fetch[page], block.dtype, at);
        for (int64_t i = 0; i < C * 16 * SizeOf(block.dtype); i += 64) {
          FetchLine(static_cast<const char*>(fetched) + i);
        }
      }
      typename V::F value[C];
#pragma GCC unroll 4
      for (int i = 0; i < C; ++i) {
        value[i] = LoadActN<V>(block.pages[page], block.dtype, at + 16 * i, kRest ? n : 16);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const auto weight = V::Set1(p[r * p_stride + s]);
#pragma GCC unroll 4
        for (int i = 0; i < C; ++i) sum[r][i] = V::Fma(weight, value[i], sum[r][i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < C; ++i) V::Store(acc + r * acc_stride + e + 16 * i, sum[r][i]);
  }
}

template <typename V, int R>
inline void AddValues(const float* p, int64_t p_stride, const float* alpha, const ValueBlock& block,
                      float* acc, int64_t acc_stride) {
  constexpr int C = SideBySide<V>(R);
  int64_t e = 0;
  for (; e + 16 * C <= block.width; e += 16 * C) {
    AddValueRuns<V, R, C, false>(p, p_stride, alpha, block, e, 16, acc, acc_stride);
  }
  for (; e + 16 <= block.width; e += 16) {
    AddValueRuns<V, R, 1, false>(p, p_stride, alpha, block, e, 16, acc, acc_stride);
  }
  if (e == block.width) return;
  const int n = static_cast<int>(block.width - e);
  AddValueRuns<V, R, 1, true>(p, p_stride, alpha, block, e, n, acc, acc_stride);
}

// Scores of R rows into p[r][64], minus infinity where a page is missing or a row does not see.
template <typename V, int R>
inline void BlockScores(const float* q, int64_t stride, const KeyBlock& block, const KeyBlock* next,
                        const int* visible, float* p) {
  constexpr int P = SideBySide<V>(R);
  for (int r = 0; r < R; ++r) {
    for (int i = block.pages * 16; i < kBlockKeys; i += 16) {
      V::Store(p + r * kBlockKeys + i, V::Set1(kMinusInfinity));
    }
  }
  for (int page = 0; page < block.pages; page += P) {
    alignas(64) float scores[R * P * 16];
    // A page that is missing is read as the block's first; nobody sees what comes of it.
    const void* keys[P];
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) keys[i] = block.keys[page + i < block.pages ? page + i : 0];
    PageScores<V, R, P>(q, stride, keys, next == nullptr ? nullptr : next->keys + page, block.dtype,
                        block.width, scores);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < P; ++i) {
        const int first = (page + i) * static_cast<int>(kPageTokens);
        float* const out = p + r * kBlockKeys + first;
        if (visible[r] <= first) {
          V::Store(out, V::Set1(kMinusInfinity));
        } else {
          const auto score = V::Load(scores + (r * P + i) * 16);
          V::Store(out, V::KeepFirst(score, visible[r] - first, kMinusInfinity));
        }
      }
    }
  }
}

// One block for rows [row, row + R): scores, the running maximum, values. `next`, or null, is the
// block that will be wanted afterwards, with all its pages.
template <typename V, int R>
inline void BlockStep(const AttentionState& state, const float* q, int64_t row,
                      const KeyBlock& block, const KeyBlock* next) {
  int visible[R];
  int least = kBlockKeys;
  int most = 0;
  for (int r = 0; r < R; ++r) {
    visible[r] = block.Visible(state.positions[row + r]);
    least = visible[r] < least ? visible[r] : least;
    most = visible[r] > most ? visible[r] : most;
  }
  if (most == 0) return;
  alignas(64) float p[R * kBlockKeys];
  BlockScores<V, R>(q + row * state.stride, state.stride, block, next, visible, p);
  alignas(64) float changes[16] = {};
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* const scores = p + r * kBlockKeys;
    const float block_max = V::MaxOf(V::Max(V::Max(V::Load(scores), V::Load(scores + 16)),
                                            V::Max(V::Load(scores + 32), V::Load(scores + 48))));
    const float old_max = state.maxima[row + r];
    const float new_max = block_max > old_max ? block_max : old_max;
    changes[r] = old_max - new_max;
    state.maxima[row + r] = new_max;
#pragma GCC unroll 4
    for (int i = 0; i < kBlockKeys; i += 16) {
      V::Store(scores + i, Exp<V>(V::Sub(V::Load(scores + i), V::Set1(new_max))));
    }
  }
  alignas(64) float alpha[16];
  V::Store(alpha, Exp<V>(V::Load(changes)));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* const sum = state.sums + (row + r) * 16;
    auto lanes = V::Mul(V::Load(sum), V::Set1(alpha[r]));
#pragma GCC unroll 4
    for (int i = 0; i < kBlockKeys; i += 16) {
      lanes = V::Add(lanes, V::Load(p + r * kBlockKeys + i));
    }
    V::Store(sum, lanes);
  }
  // Together as far as all rows see; the rest of each chain by itself.
  float* const acc = state.acc + row * state.stride;
  ValueBlock values = {.pages = block.values,
                       .fetch = next == nullptr ? nullptr : next->values,
                       .dtype = block.dtype,
                       .width = block.width,
                       .end = least};
  AddValues<V, R>(p, kBlockKeys, alpha, values, acc, state.stride);
  values.fetch = nullptr;
  const float one = 1.0f;
  for (int r = 0; r < R; ++r) {
    if (visible[r] == least) continue;
    values.begin = least;
    values.end = visible[r];
    AddValues<V, 1>(p + r * kBlockKeys, kBlockKeys, &one, values, acc + r * state.stride,
                    state.stride);
  }
}

// step(R, row) over [0, count) in runs of nearly equal size, kAttentionRows at most.
template <typename V, int R, typename Step>
inline void ForTilesOf(int64_t size, int64_t row, int64_t tiles, Step step) {
  if (size == R) {
    for (int64_t i = 0; i < tiles; ++i) step.template operator()<R>(row + i * R);
    return;
  }
  if constexpr (R > 1) ForTilesOf<V, R - 1>(size, row, tiles, step);
}
template <typename V, typename Step>
inline void ForRowTiles(int64_t count, Step step) {
  if (count == 0) return;
  const int64_t tiles = (count + V::kAttentionRows - 1) / V::kAttentionRows;
  const int64_t size = count / tiles;
  const int64_t larger = count % tiles;  // tiles of one row more
  if (larger > 0) ForTilesOf<V, V::kAttentionRows>(size + 1, 0, larger, step);
  ForTilesOf<V, V::kAttentionRows>(size, larger * (size + 1), tiles - larger, step);
}

template <typename V>
void Attention(const AttentionArgs& args, const AttentionItem& item, const AttentionItem* next,
               float* scratch) {
  const int64_t width = args.shape.head_width;
  const AttentionState state = TakeState<V>(args, item, scratch);
  float* const q = Take(scratch, state.count * state.stride);
  for (int64_t row = 0; row < state.count; ++row) {
    const float* from = args.q + state.at[row] * width;
    ForEach16(width, [&](int64_t e, int c) {
      V::Store(q + row * state.stride + e, V::Mul(V::LoadN(from + e, c), V::Set1(args.scale)));
    });
  }
  VisitBlocks(args, item, next, state,
              [&](int64_t row, int64_t count, const KeyBlock& block, const KeyBlock* fetch) {
                ForRowTiles<V>(count, [&]<int R>(int64_t tile) {
                  BlockStep<V, R>(state, q, row + tile, block, fetch);
                  fetch = nullptr;  // once is enough
                });
              });
  FinishRows<V>(args, state, 1);
}

}  // namespace ponder::kernels::cpu
