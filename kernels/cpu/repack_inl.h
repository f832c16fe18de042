#pragma once

#include <cstdint>

#include "kernels/cpu/math_inl.h"
#include "kernels/cpu/primitives.h"

// Moves between orders, and AdamW, which writes the packed order.
namespace ponder::kernels::cpu {

template <typename V>
void RoundTo(const float* in, void* out, DType dtype, int64_t n) {
  ForEach16(n, [&](int64_t i, int c) { StoreActN<V>(out, dtype, i, V::LoadN(in + i, c), c); });
}

template <typename V>
void AddTo(const float* x, float* y, int64_t n) {
  ForEach16(n, [&](int64_t i, int c) {
    V::StoreN(y + i, V::Add(V::LoadN(y + i, c), V::LoadN(x + i, c)), c);
  });
}

// 16 rows of 32 inputs, row-major words in `tile` ([16][32] fp32), to their place in a panel.
template <typename V>
inline void PackTile(const float* tile, DType dtype, int64_t k, void* panel) {
  if (dtype == DType::kF32) {
    float* out = static_cast<float*>(panel) + k * kPanelOutputs;
    const uint32_t* words = reinterpret_cast<const uint32_t*>(tile);
    V::Transpose16(words, 32, reinterpret_cast<uint32_t*>(out), 16);
    V::Transpose16(words + 16, 32, reinterpret_cast<uint32_t*>(out + 256), 16);
    return;
  }
  alignas(64) uint16_t rounded[16 * 32];
  for (int i = 0; i < 16 * 32; i += 16) V::StoreBf16(rounded + i, V::Load(tile + i));
  V::Transpose16(reinterpret_cast<const uint32_t*>(rounded), 16,
                 reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(panel) + k * kPanelOutputs),
                 16);
}

template <typename V>
void PackPanel(const float* source, const PackedMatrix& target, int64_t panel) {
  const int64_t first = panel * kPanelOutputs;
  const int64_t rows =
      target.outputs - first < kPanelOutputs ? target.outputs - first : kPanelOutputs;
  const int64_t padded = PaddedInputs(target.inputs);
  void* out = ActAt(target.data, target.dtype, first * padded);
  alignas(64) float tile[16 * 32];
  for (int i = 0; i < 16 * 32; i += 16) V::Store(tile + i, V::Zero());
  for (int64_t k = 0; k < padded; k += 32) {
    const int64_t n = target.inputs - k < 32 ? target.inputs - k : 32;
    for (int64_t row = 0; row < rows; ++row) {
      const float* in = source + (first + row) * target.inputs + k;
      V::Store(tile + row * 32, V::LoadN(in, static_cast<int>(n)));
      V::Store(tile + row * 32 + 16,
               n > 16 ? V::LoadN(in + 16, static_cast<int>(n - 16)) : V::Zero());
    }
    PackTile<V>(tile, target.dtype, k, out);
  }
}

template <typename V>
void UnpackPanel(const PackedMatrix& source, float* target, int64_t panel) {
  const int64_t first = panel * kPanelOutputs;
  const int64_t rows =
      source.outputs - first < kPanelOutputs ? source.outputs - first : kPanelOutputs;
  const int64_t padded = PaddedInputs(source.inputs);
  const void* in = ActAt(static_cast<const void*>(source.data), source.dtype, first * padded);
  for (int64_t row = 0; row < rows; ++row) {
    float* out = target + (first + row) * source.inputs;
    for (int64_t k = 0; k < source.inputs; ++k) {
      if (source.dtype == DType::kF32) {
        out[k] = static_cast<const float*>(in)[k * 16 + row];
      } else {
        const uint32_t bits =
            static_cast<uint32_t>(static_cast<const uint16_t*>(in)[k / 2 * 32 + row * 2 + k % 2])
            << 16;
        __builtin_memcpy(out + k, &bits, 4);
      }
    }
  }
}

template <typename V>
void TransposePacked(const PackedMatrix& w, int64_t block, void* out, int64_t out_inputs) {
  const int64_t padded = PaddedInputs(w.inputs);
  const int64_t panels = Panels(w.outputs);
  if (w.dtype == DType::kF32) {
    for (int64_t k = 0; k < padded; k += 16) {
      if (k >= RoundUp16(w.inputs)) break;
      for (int64_t half = 0; half < 2; ++half) {
        float* to = static_cast<float*>(out) + k * out_inputs + (block * 32 + half * 16) * 16;
        const int64_t panel = block * 2 + half;
        if (panel < panels) {
          const float* from = static_cast<const float*>(w.data) + (panel * padded + k) * 16;
          V::Transpose16(reinterpret_cast<const uint32_t*>(from), 16,
                         reinterpret_cast<uint32_t*>(to), 16);
        } else {
          for (int i = 0; i < 256; i += 16) V::Store(to + i, V::Zero());
        }
      }
    }
    return;
  }
  alignas(64) uint16_t rows[16 * 32];  // 16 outputs, 32 inputs
  for (int64_t k = 0; k < padded; k += 32) {
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t panel = block * 2 + half;
      if (panel < panels) {
        const uint16_t* from = static_cast<const uint16_t*>(w.data) + (panel * padded + k) * 16;
        V::Transpose16(reinterpret_cast<const uint32_t*>(from), 16,
                       reinterpret_cast<uint32_t*>(rows), 16);
      } else {
        for (int i = 0; i < 16 * 32; ++i) rows[i] = 0;
      }
      for (int64_t part = 0; part < 2 && k + part * 16 < RoundUp16(w.inputs); ++part) {
        uint16_t* to = static_cast<uint16_t*>(out) + (k + part * 16) * out_inputs +
                       (block * 32 + half * 16) * 16;
        for (int64_t row = 0; row < 16; row += 2) {
          V::Zip(rows + row * 32 + part * 16, rows + (row + 1) * 32 + part * 16, to + row * 16);
        }
      }
    }
  }
}

template <typename V>
void PackTransposed(const void* x, int64_t stride, int64_t rows, int64_t width, DType dtype,
                    int64_t block, void* out, int64_t out_inputs) {
  for (int64_t k = 0; k < width; k += 16) {
    const int n = width - k < 16 ? static_cast<int>(width - k) : 16;
    if (dtype == DType::kF32) {
      float* to = static_cast<float*>(out) + k * out_inputs + block * 32 * 16;
      for (int64_t row = 0; row < 32; ++row) {
        V::Store(to + row * 16, row < rows
                                    ? V::LoadN(static_cast<const float*>(x) + row * stride + k, n)
                                    : V::Zero());
      }
      continue;
    }
    const uint16_t zeros[16] = {};
    uint16_t tails[2][16] = {};
    uint16_t* to = static_cast<uint16_t*>(out) + k * out_inputs + block * 32 * 16;
    for (int64_t row = 0; row < 32; row += 2) {
      const uint16_t* pair[2];
      for (int i = 0; i < 2; ++i) {
        pair[i] = row + i < rows ? static_cast<const uint16_t*>(x) + (row + i) * stride + k : zeros;
        if (n == 16 || row + i >= rows) continue;
        for (int j = 0; j < n; ++j) tails[i][j] = pair[i][j];
        pair[i] = tails[i];
      }
      V::Zip(pair[0], pair[1], to + row * 16);
    }
  }
}

template <typename V>
void TransposeRows(const float* x, int64_t stride, int64_t rows, int64_t width, DType dtype,
                   int64_t block, void* out, int64_t out_stride) {
  alignas(64) uint32_t words[32 * 16];
  alignas(64) uint32_t turned[16 * 16];
  for (int64_t k = 0; k < width; k += 16) {
    const int n = width - k < 16 ? static_cast<int>(width - k) : 16;
    const auto load = [&](int64_t row) {
      return row < rows ? V::LoadN(x + row * stride + k, n) : V::Zero();
    };
    if (dtype == DType::kF32) {
      for (int64_t half = 0; half < 2; ++half) {
        for (int64_t row = 0; row < 16; ++row)
          V::Store(reinterpret_cast<float*>(words) + row * 16, load(half * 16 + row));
        V::Transpose16(words, 16, turned, 16);
        for (int i = 0; i < n; ++i) {
          float* to = static_cast<float*>(out) + (k + i) * out_stride + block * 32 + half * 16;
          V::Store(to, V::Load(reinterpret_cast<const float*>(turned) + i * 16));
        }
      }
      continue;
    }
    for (int64_t row = 0; row < 32; row += 2) {
      V::StorePairs(reinterpret_cast<uint16_t*>(words + row / 2 * 16), load(row), load(row + 1));
    }
    V::Transpose16(words, 16, turned, 16);
    for (int i = 0; i < n; ++i) {
      uint16_t* to = static_cast<uint16_t*>(out) + (k + i) * out_stride + block * 32;
      V::Store(reinterpret_cast<float*>(to),
               V::Load(reinterpret_cast<const float*>(turned) + i * 16));
    }
  }
}

template <typename V>
void AdamW(const AdamWArgs& args, const AdamWFactors& factors, int64_t begin, int64_t end) {
  const auto beta1 = V::Set1(args.beta1);
  const auto beta2 = V::Set1(args.beta2);
  const auto rest1 = V::Set1(1.0f - args.beta1);
  const auto rest2 = V::Set1(1.0f - args.beta2);
  const auto first_correction = V::Set1(factors.first_correction);
  const auto second_correction = V::Set1(factors.second_correction);
  const auto scale = V::Set1(args.gradient_scale);
  const auto epsilon = V::Set1(args.epsilon);
  const auto decay = V::Set1(args.weight_decay);
  const auto rate = V::Set1(-args.learning_rate);
  const int64_t at = begin * args.columns;
  ForEach16((end - begin) * args.columns, [&](int64_t offset, int c) {
    const int64_t i = at + offset;
    const auto g = V::Mul(V::LoadN(args.gradient + i, c), scale);
    const auto m = V::Fma(beta1, V::LoadN(args.first_moment + i, c), V::Mul(rest1, g));
    const auto v = V::Fma(beta2, V::LoadN(args.second_moment + i, c), V::Mul(rest2, V::Mul(g, g)));
    const auto w = V::LoadN(args.master + i, c);
    const auto root = V::Add(V::Sqrt(V::Mul(v, second_correction)), epsilon);
    const auto step = V::Fma(decay, w, V::Div(V::Mul(m, first_correction), root));
    V::StoreN(args.first_moment + i, m, c);
    V::StoreN(args.second_moment + i, v, c);
    V::StoreN(args.master + i, V::Fma(rate, step, w), c);
  });
  if (args.working.data == nullptr) return;
  for (int64_t panel = begin / kPanelOutputs; panel * kPanelOutputs < end; ++panel) {
    PackPanel<V>(args.master, args.working, panel);
  }
}

// Eight chains of doubles.
template <typename V>
double SquaredNorm(const float* values, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j)
      sums[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  }
  for (int j = 0; i < n; ++i, ++j)
    sums[j] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace ponder::kernels::cpu
