#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

// Sixteen floats in one AVX-512 register. The operations are described in simd_portable.h. `Tag`
// keeps the symbols of the plain AVX-512 and the AVX512-BF16 builds apart.
namespace ponder::kernels::avx512 {

template <typename Tag>
struct SimdBase {
  using F = __m512;
  static constexpr int kMatMulRows = 12;
  static constexpr int kAccumulators =
      24;  // of 32 registers; two more hold panels, one a broadcast
  static constexpr int kAttentionRows = 8;

  static __mmask16 Mask(int n) {  // lanes below n
    return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1u);
  }
  static F Set1(float x) { return _mm512_set1_ps(x); }
  static F Zero() { return _mm512_setzero_ps(); }
  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F LoadN(const float* p, int n) {
    return n >= 16 ? Load(p) : _mm512_maskz_loadu_ps(Mask(n), p);
  }
  static void StoreN(float* p, F v, int n) {
    if (n >= 16) return Store(p, v);
    _mm512_mask_storeu_ps(p, Mask(n), v);
  }
  static F Add(F x, F y) { return _mm512_add_ps(x, y); }
  static F Sub(F x, F y) { return _mm512_sub_ps(x, y); }
  static F Mul(F x, F y) { return _mm512_mul_ps(x, y); }
  static F Div(F x, F y) { return _mm512_div_ps(x, y); }
  static F Fma(F x, F y, F z) { return _mm512_fmadd_ps(x, y, z); }
  static F Max(F x, F y) { return _mm512_max_ps(x, y); }
  static F Min(F x, F y) { return _mm512_min_ps(x, y); }
  static F Sqrt(F x) { return _mm512_sqrt_ps(x); }
  static F SelectLess(F x, F y, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), no, yes);
  }
  static F KeepFirst(F x, int n, float other) {
    return _mm512_mask_blend_ps(Mask(n), _mm512_set1_ps(other), x);
  }
  static F Round(F x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static F Pow2(F n) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
  }
  static float Sum(F x) {
    const __m256 s = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  static float MaxOf(F x) {
    const __m256 s = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }

  using Pairs = __m512i;
  static Pairs LoadPairs(const uint16_t* p) { return _mm512_loadu_si512(p); }
  static Pairs Set1Pair(const uint16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, 4);
    return _mm512_set1_epi32(pair);
  }
  static F Low(Pairs p) { return _mm512_castsi512_ps(_mm512_slli_epi32(p, 16)); }
  static F High(Pairs p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(p, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u))));
  }
  static __m512i RoundBits(F x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    return _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), upper,
                                _mm512_set1_epi32(0x40));
  }
  static F LoadBf16(const uint16_t* p) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }
  static F LoadBf16N(const uint16_t* p, int n) {
    const __m256i v = _mm256_maskz_loadu_epi16(Mask(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }
  static void StoreBf16(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(RoundBits(x)));
  }
  static void StoreBf16N(uint16_t* p, F x, int n) {
    _mm256_mask_storeu_epi16(p, Mask(n), _mm512_cvtepi32_epi16(RoundBits(x)));
  }
  static void StoreOperands(uint16_t* p, F a, F b) {
    StoreBf16(p, a);
    StoreBf16(p + 16, b);
  }
  static void StorePairs(uint16_t* p, F even, F odd) {
    _mm512_storeu_si512(p, _mm512_or_si512(RoundBits(even), _mm512_slli_epi32(RoundBits(odd), 16)));
  }
  // Four rounds of butterflies: words, double words, then 128-bit lanes twice.
  static void Transpose16(const uint32_t* in, int64_t in_stride, uint32_t* out,
                          int64_t out_stride) {
    __m512i r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(in + i * in_stride);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
      r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
      r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
      r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[4 g + c] holds, in 128-bit lane l, column 4 l + c of rows 4 g ... 4 g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);       // lanes 0, 2 of g = 0, 1
      const __m512i b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);  // of g = 2, 3
      const __m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);       // lanes 1, 3
      const __m512i e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
      _mm512_storeu_si512(out + c * out_stride, _mm512_shuffle_i32x4(a, b, 0x88));
      _mm512_storeu_si512(out + (8 + c) * out_stride, _mm512_shuffle_i32x4(a, b, 0xdd));
      _mm512_storeu_si512(out + (4 + c) * out_stride, _mm512_shuffle_i32x4(d, e, 0x88));
      _mm512_storeu_si512(out + (12 + c) * out_stride, _mm512_shuffle_i32x4(d, e, 0xdd));
    }
  }
  static void Zip(const uint16_t* a, const uint16_t* b, uint16_t* out) {
    const __m512i x =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)));
    const __m512i y =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
    _mm512_storeu_si512(out, _mm512_or_si512(x, _mm512_slli_epi32(y, 16)));
  }
};

}  // namespace ponder::kernels::avx512
