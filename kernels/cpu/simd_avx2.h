#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

// Sixteen floats in two AVX registers, with FMA. The operations are described in simd_portable.h.
namespace ponder::kernels::avx2 {

struct Simd {
  struct F {
    __m256 a, b;
  };
  static constexpr int kMatMulRows = 6;
  static constexpr int kAccumulators = 6;  // 6 * 2 of 16 registers
  static constexpr int kAttentionRows = 6;
  static constexpr bool kDotBf16 = false;

  static F Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void Store(float* p, F v) {
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
  }
  static __m256i Mask(int n) {  // lanes below n
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F LoadN(const float* p, int n) {
    if (n >= 16) return Load(p);
    return {_mm256_maskload_ps(p, Mask(n)),
            n > 8 ? _mm256_maskload_ps(p + 8, Mask(n - 8)) : _mm256_setzero_ps()};
  }
  static void StoreN(float* p, F v, int n) {
    if (n >= 16) return Store(p, v);
    _mm256_maskstore_ps(p, Mask(n), v.a);
    if (n > 8) _mm256_maskstore_ps(p + 8, Mask(n - 8), v.b);
  }

  static F Add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  static F Sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
  static F Mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  static F Div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
  static F Fma(F x, F y, F z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  static F Max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
  static F Min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
  static F Sqrt(F x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
  static F SelectLess(F x, F y, F yes, F no) {
    return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
  }
  static F KeepFirst(F x, int n, float other) {
    const __m256 v = _mm256_set1_ps(other);
    return {_mm256_blendv_ps(v, x.a, _mm256_castsi256_ps(Mask(n))),
            _mm256_blendv_ps(v, x.b, _mm256_castsi256_ps(Mask(n - 8)))};
  }
  static F Round(F x) {
    return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static __m256 Pow2(__m256 n) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
  }
  static F Pow2(F n) { return {Pow2(n.a), Pow2(n.b)}; }
  static float Sum(F x) {
    const __m256 s = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  static float MaxOf(F x) {
    const __m256 s = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }

  struct Pairs {
    __m256i a, b;
  };
  static Pairs LoadPairs(const uint16_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16))};
  }
  static Pairs Set1Pair(const uint16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, 4);
    return {_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
  }
  static F Low(Pairs p) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(p.a, 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(p.b, 16))};
  }
  static F High(Pairs p) {  // by shifts: a mask would take a register from the sums
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_srli_epi32(p.a, 16), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_srli_epi32(p.b, 16), 16))};
  }
  static __m256i RoundBits(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(rounded, quiet,
                              _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
  }
  static __m256i Narrow(F x) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(RoundBits(x.a), RoundBits(x.b)), 0xd8);
  }
  static F LoadBf16(const uint16_t* p) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm256_castsi256_ps(
                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)), 16)),
            _mm256_castsi256_ps(
                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)), 16))};
  }
  static F LoadBf16N(const uint16_t* p, int n) {
    if (n >= 16) return LoadBf16(p);
    uint16_t lanes[16] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return LoadBf16(lanes);
  }
  static void StoreBf16(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), Narrow(x));
  }
  static void StoreBf16N(uint16_t* p, F x, int n) {
    if (n >= 16) return StoreBf16(p, x);
    uint16_t lanes[16];
    StoreBf16(lanes, x);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static void StorePairs(uint16_t* p, F even, F odd) {
    const __m256i a = _mm256_or_si256(RoundBits(even.a), _mm256_slli_epi32(RoundBits(odd.a), 16));
    const __m256i b = _mm256_or_si256(RoundBits(even.b), _mm256_slli_epi32(RoundBits(odd.b), 16));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 16), b);
  }
  static void Transpose16(const uint32_t* in, int64_t in_stride, uint32_t* out,
                          int64_t out_stride) {
    for (int i = 0; i < 16; i += 8) {
      for (int j = 0; j < 16; j += 8) {
        Transpose8(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
      }
    }
  }
  static void Transpose8(const uint32_t* in, int64_t in_stride, uint32_t* out, int64_t out_stride) {
    __m256i r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      r[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i * in_stride));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
      r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
      r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
      r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[4 g + c] holds, in 128-bit lane l, column 4 l + c of rows 4 g ... 4 g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c * out_stride),
                          _mm256_permute2x128_si256(r[c], r[4 + c], 0x20));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (4 + c) * out_stride),
                          _mm256_permute2x128_si256(r[c], r[4 + c], 0x31));
    }
  }
  static void Zip(const uint16_t* a, const uint16_t* b, uint16_t* out) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m256i low = _mm256_unpacklo_epi16(x, y);
    const __m256i high = _mm256_unpackhi_epi16(x, y);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16),
                        _mm256_permute2x128_si256(low, high, 0x31));
  }
};

}  // namespace ponder::kernels::avx2
