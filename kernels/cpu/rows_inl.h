#pragma once

#include <cstdint>

#include "kernels/cpu/math_inl.h"
#include "kernels/cpu/primitives.h"

// Operations on single rows: norms, rotary positions, the gate.
namespace ponder::kernels::cpu {

// Sums run in sixteen lanes and then over the lanes: an order that depends on n alone.
template <typename V>
inline float SumOfProducts(const float* a, const float* b, int64_t n) {
  typename V::F sum = V::Zero();
  ForEach16(n,
            [&](int64_t i, int c) { sum = V::Fma(V::LoadN(a + i, c), V::LoadN(b + i, c), sum); });
  return V::Sum(sum);
}

template <typename V>
inline float InverseRms(const float* x, int64_t n, float epsilon) {
  const float mean = SumOfProducts<V>(x, x, n) / static_cast<float>(n);
  return 1.0f / __builtin_sqrtf(mean + epsilon);
}

template <typename V>
void RmsNorm(const RmsNormArgs& args, int64_t begin, int64_t end) {
  const int64_t padded = PaddedInputs(args.width);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.width;
    void* y = ActAt(args.y, args.act, row * padded);
    const float inverse = InverseRms<V>(x, args.width, args.epsilon);
    if (args.inverse_rms != nullptr) args.inverse_rms[row] = inverse;
    const auto factor = V::Set1(inverse);
    ForEach16(args.width, [&](int64_t i, int c) {
      const auto value = V::Mul(V::Mul(V::LoadN(x + i, c), factor), V::LoadN(args.weight + i, c));
      StoreActN<V>(y, args.act, i, value, c);
    });
    ZeroAct(y, args.act, args.width, padded);
  }
}

// d_x = inverse (d_y w - xhat mean(d_y w xhat)) added to d_x where `add`; d_weight += d_y xhat;
// xhat = x inverse.
template <typename V, bool kAdd>
inline void NormBackwardRow(const float* x, const float* weight, float inverse, const float* d_y,
                            float* d_x, float* d_weight, int64_t n) {
  const auto factor = V::Set1(inverse);
  auto dot = V::Zero();
  ForEach16(n, [&](int64_t i, int c) {
    const auto xhat = V::Mul(V::LoadN(x + i, c), factor);
    const auto dy = V::LoadN(d_y + i, c);
    dot = V::Fma(V::Mul(dy, V::LoadN(weight + i, c)), xhat, dot);
    if (d_weight != nullptr)
      V::StoreN(d_weight + i, V::Fma(dy, xhat, V::LoadN(d_weight + i, c)), c);
  });
  const auto mean = V::Set1(-V::Sum(dot) / static_cast<float>(n));
  ForEach16(n, [&](int64_t i, int c) {
    const auto xhat = V::Mul(V::LoadN(x + i, c), factor);
    const auto dy = V::Mul(V::LoadN(d_y + i, c), V::LoadN(weight + i, c));
    auto value = V::Mul(V::Fma(xhat, mean, dy), factor);
    if constexpr (kAdd) value = V::Add(value, V::LoadN(d_x + i, c));
    V::StoreN(d_x + i, value, c);
  });
}

template <typename V>
void RmsNormBackward(const RmsNormBackwardArgs& args, int64_t begin, int64_t end, float* d_weight) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * args.width;
    NormBackwardRow<V, true>(args.x + at, args.weight, args.inverse_rms[row], args.d_y + at,
                             args.d_x + at, d_weight, args.width);
  }
}

// out[i] = x[i] cos[i] - x[i + h] sin[i]; out[i + h] = x[i + h] cos[i] + x[i] sin[i]; `sign` -1
// turns back. May be in place.
template <typename V>
inline void Rotate(const float* x, const float* cos_sin, float sign, float* out,
                   int64_t head_width) {
  const int64_t half = head_width / 2;
  const auto factor = V::Set1(sign);
  ForEach16(half, [&](int64_t i, int c) {
    const auto cos = V::LoadN(cos_sin + i, c);
    const auto sin = V::Mul(V::LoadN(cos_sin + half + i, c), factor);
    const auto a = V::LoadN(x + i, c);
    const auto b = V::LoadN(x + half + i, c);
    V::StoreN(out + i, V::Sub(V::Mul(a, cos), V::Mul(b, sin)), c);
    V::StoreN(out + half + i, V::Add(V::Mul(b, cos), V::Mul(a, sin)), c);
  });
}

// Norm (where `norm` is given) and rotation of one head.
template <typename V>
inline void NormRotate(const float* x, const float* norm, float epsilon, const float* cos_sin,
                       float* out, int64_t head_width) {
  if (norm == nullptr) return Rotate<V>(x, cos_sin, 1.0f, out, head_width);
  const auto factor = V::Set1(InverseRms<V>(x, head_width, epsilon));
  float normed[kMaxHeadWidth];
  ForEach16(head_width, [&](int64_t i, int c) {
    V::StoreN(normed + i, V::Mul(V::Mul(V::LoadN(x + i, c), factor), V::LoadN(norm + i, c)), c);
  });
  Rotate<V>(normed, cos_sin, 1.0f, out, head_width);
}

template <typename V>
void QkvRope(const QkvRopeArgs& args, int64_t begin, int64_t end) {
  const int64_t width = args.shape.head_width;
  const int64_t kv_heads = args.shape.kv_heads;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.qkv + row * (args.heads + 2 * kv_heads) * width;
    const float* cos_sin = args.cos_sin + args.positions[row] * width;
    for (int64_t h = 0; h < args.heads; ++h) {
      NormRotate<V>(x + h * width, args.q_norm, args.norm_epsilon, cos_sin,
                    args.q + (row * args.heads + h) * width, width);
    }
    const int64_t page = args.slots[row] / kPageTokens;
    const int64_t place = args.slots[row] % kPageTokens;
    for (int64_t h = 0; h < kv_heads; ++h) {
      const int64_t at = (page * kv_heads + h) * kPageTokens * width;
      alignas(64) float key[kMaxHeadWidth];
      NormRotate<V>(x + (args.heads + h) * width, args.k_norm, args.norm_epsilon, cos_sin, key,
                    width);
      const float* value = x + (args.heads + kv_heads + h) * width;
      if (args.shape.dtype == DType::kF32) {
        float* keys = static_cast<float*>(args.cache.keys) + at;
        for (int64_t e = 0; e < width; ++e) keys[e * kPageTokens + place] = key[e];
      } else {
        alignas(64) uint16_t rounded[kMaxHeadWidth];
        ForEach16(width,
                  [&](int64_t i, int c) { V::StoreBf16N(rounded + i, V::LoadN(key + i, c), c); });
        uint16_t* keys = static_cast<uint16_t*>(args.cache.keys) + at;
        for (int64_t e = 0; e < width; ++e)
          keys[(e / 2 * kPageTokens + place) * 2 + e % 2] = rounded[e];
      }
      void* values = ActAt(args.cache.values, args.shape.dtype, at + place * width);
      ForEach16(width, [&](int64_t i, int c) {
        StoreActN<V>(values, args.shape.dtype, i, V::LoadN(value + i, c), c);
      });
    }
  }
}

template <typename V>
void QkvRopeBackward(const QkvRopeBackwardArgs& args, int64_t begin, int64_t end, float* d_q_norm,
                     float* d_k_norm) {
  const int64_t width = args.shape.head_width;
  const int64_t kv_heads = args.shape.kv_heads;
  const int64_t row_width = (args.heads + 2 * kv_heads) * width;
  for (int64_t row = begin; row < end; ++row) {
    float* d_x = args.d_qkv + row * row_width;
    const float* cos_sin = args.cos_sin + args.positions[row] * width;
    const auto head = [&](int64_t index, const float* d, const float* norm, float* d_norm) {
      float* d_head = d_x + index * width;
      if (norm == nullptr) return Rotate<V>(d, cos_sin, -1.0f, d_head, width);
      alignas(64) float d_normed[kMaxHeadWidth];
      Rotate<V>(d, cos_sin, -1.0f, d_normed, width);
      const float* x_head = args.qkv + row * row_width + index * width;
      NormBackwardRow<V, false>(x_head, norm, InverseRms<V>(x_head, width, args.norm_epsilon),
                                d_normed, d_head, d_norm, width);
    };
    for (int64_t h = 0; h < args.heads; ++h) {
      head(h, args.d_q + (row * args.heads + h) * width, args.q_norm, d_q_norm);
    }
    const int64_t slot = args.slots[row];
    for (int64_t h = 0; h < kv_heads; ++h) {
      head(args.heads + h, args.d_keys + (slot * kv_heads + h) * width, args.k_norm, d_k_norm);
      const float* d_value = args.d_values + (slot * kv_heads + h) * width;
      float* d_out = d_x + (args.heads + kv_heads + h) * width;
      ForEach16(width,
                [&](int64_t i, int c) { V::StoreN(d_out + i, V::LoadN(d_value + i, c), c); });
    }
  }
}

template <typename V>
inline typename V::F SiluTimes(typename V::F gate, typename V::F up) {
  return V::Mul(V::Mul(gate, Sigmoid<V>(gate)), up);
}

template <typename V>
void SwiGluOfTile(const SwiGluTile& tile) {
  for (int64_t row = 0; row < tile.rows; ++row) {
    const float* gate = tile.gate + row * tile.stride;
    const float* up = tile.up + row * tile.stride;
    ForEach16(tile.columns, [&](int64_t i, int c) {
      const auto g = V::LoadN(gate + i, c);
      const auto u = V::LoadN(up + i, c);
      StoreActN<V>(tile.y, tile.act, row * tile.y_stride + i, SiluTimes<V>(g, u), c);
      if (tile.kept_gate == nullptr) return;
      StoreActN<V>(tile.kept_gate, tile.act, row * tile.kept_stride + i, g, c);
      StoreActN<V>(tile.kept_up, tile.act, row * tile.kept_stride + i, u, c);
    });
  }
}

template <typename V>
void SwiGlu(const SwiGluArgs& args, int64_t begin, int64_t end) {
  const int64_t padded = PaddedInputs(args.width);
  const int64_t stride = PaddedInputs(2 * args.width);
  for (int64_t row = begin; row < end; ++row) {
    const void* gate = ActAt(args.gate_up, args.act, row * stride);
    const void* up = ActAt(gate, args.act, args.width);
    void* y = ActAt(args.y, args.act, row * padded);
    ForEach16(args.width, [&](int64_t i, int c) {
      const auto g = LoadActN<V>(gate, args.act, i, c);
      const auto u = LoadActN<V>(up, args.act, i, c);
      StoreActN<V>(y, args.act, i, SiluTimes<V>(g, u), c);
    });
    ZeroAct(y, args.act, args.width, padded);
  }
}

// d silu(g) / d g = s (1 + g (1 - s)), s = sigmoid(g)
template <typename V>
void SwiGluBackward(const SwiGluBackwardArgs& args, int64_t begin, int64_t end) {
  const auto one = V::Set1(1.0f);
  const int64_t stride = PaddedInputs(2 * args.width);
  for (int64_t row = begin; row < end; ++row) {
    const void* gate = ActAt(args.gate_up, args.act, row * stride);
    const void* up = ActAt(gate, args.act, args.width);
    const float* d_y = args.d_y + row * args.width;
    float* d_gate = args.d_gate_up + row * 2 * args.width;
    float* d_up = d_gate + args.width;
    ForEach16(args.width, [&](int64_t i, int c) {
      const auto g = LoadActN<V>(gate, args.act, i, c);
      const auto d = V::LoadN(d_y + i, c);
      const auto s = Sigmoid<V>(g);
      const auto slope = V::Mul(s, V::Fma(g, V::Sub(one, s), one));
      V::StoreN(d_gate + i, V::Mul(V::Mul(d, LoadActN<V>(up, args.act, i, c)), slope), c);
      V::StoreN(d_up + i, V::Mul(d, V::Mul(g, s)), c);
    });
  }
}

}  // namespace ponder::kernels::cpu
