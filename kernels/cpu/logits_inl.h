#pragma once

#include <cstdint>

#include "kernels/cpu/math_inl.h"
#include "kernels/cpu/primitives.h"

namespace ponder::kernels::cpu {

template <typename V>
TileStats StatsOfTile(const float* logits, float scale, int64_t n) {
  const auto factor = V::Set1(scale);
  const float none = -__builtin_inff();
  auto max = V::Set1(none);
  ForEach16(n, [&](int64_t i, int c) {
    max = V::Max(max, V::KeepFirst(V::Mul(V::LoadN(logits + i, c), factor), c, none));
  });
  TileStats stats;
  stats.max = V::MaxOf(max);
  auto sum = V::Zero();
  auto weighted = V::Zero();
  const auto shift = V::Set1(stats.max);
  ForEach16(n, [&](int64_t i, int c) {
    const auto s = V::Sub(V::Mul(V::LoadN(logits + i, c), factor), shift);
    const auto p = V::KeepFirst(Exp<V>(s), c, 0.0f);
    sum = V::Add(sum, p);
    weighted = V::Fma(p, s, weighted);
  });
  stats.sum = V::Sum(sum);
  stats.weighted = V::Sum(weighted);
  return stats;
}

template <typename V>
void TileGradient(float* logits, float scale, float logsumexp, float d_logprob, int64_t target,
                  int64_t n) {
  const float weight = d_logprob * scale;
  const auto factor = V::Set1(scale);
  const auto shift = V::Set1(logsumexp);
  const auto minus = V::Set1(-weight);
  const bool here = target >= 0 && target < n;
  const float logit = here ? logits[target] : 0;
  ForEach16(n, [&](int64_t i, int c) {
    const auto p = Exp<V>(V::Sub(V::Mul(V::LoadN(logits + i, c), factor), shift));
    V::StoreN(logits + i, V::Mul(p, minus), c);
  });
  if (here) {
    alignas(64) float p[16];
    V::Store(p, Exp<V>(V::Set1(logit * scale - logsumexp)));
    logits[target] = weight * (1.0f - p[0]);
  }
}

template <typename V>
void ExpScaled(const float* logits, float scale, float max, int64_t n, float* out) {
  const auto factor = V::Set1(scale);
  const auto shift = V::Set1(max);
  ForEach16(n, [&](int64_t i, int c) {
    V::StoreN(out + i, Exp<V>(V::Sub(V::Mul(V::LoadN(logits + i, c), factor), shift)), c);
  });
}

}  // namespace ponder::kernels::cpu
