#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// Sixteen floats at once, on any processor: the vector extensions of GCC and Clang, four lanes a
// part, which become SSE2 on plain x86-64. The other simd_*.h give the same operations for their
// instruction sets; a kernel is a template over one of them, so that its symbols differ from one
// instruction set to the next.
namespace ponder::kernels::portable {

typedef float F4 __attribute__((vector_size(16)));
typedef uint32_t U4 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));

struct Simd {
  struct F {
    F4 a, b, c, d;
  };
  static constexpr int kMatMulRows = 3;    // rows of a matrix tile
  static constexpr int kAccumulators = 3;  // vectors that stay in registers: 3 * 4 of 16
  static constexpr int kAttentionRows = 2;
  static constexpr bool kDotBf16 = false;

  template <typename Op>
  static F Map(F x, Op op) {
    return {op(x.a), op(x.b), op(x.c), op(x.d)};
  }
  template <typename Op>
  static F Map(F x, F y, Op op) {
    return {op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d)};
  }

  static F Set1(float x) {
    const F4 v = {x, x, x, x};
    return {v, v, v, v};
  }
  static F Zero() { return Set1(0); }
  static F Load(const float* p) {
    F v;
    std::memcpy(&v, p, 64);
    return v;
  }
  static void Store(float* p, F v) { std::memcpy(p, &v, 64); }
  // The first n of 16 lanes; the others are zero.
  static F LoadN(const float* p, int n) {
    if (n >= 16) return Load(p);
    float lanes[16] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return Load(lanes);
  }
  static void StoreN(float* p, F v, int n) {
    if (n >= 16) return Store(p, v);
    float lanes[16];
    Store(lanes, v);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }

  static F Add(F x, F y) {
    return Map(x, y, [](F4 a, F4 b) { return a + b; });
  }
  static F Sub(F x, F y) {
    return Map(x, y, [](F4 a, F4 b) { return a - b; });
  }
  static F Mul(F x, F y) {
    return Map(x, y, [](F4 a, F4 b) { return a * b; });
  }
  static F Div(F x, F y) {
    return Map(x, y, [](F4 a, F4 b) { return a / b; });
  }
  // x * y + z; fused where the processor can.
  static F Fma(F x, F y, F z) { return Add(Mul(x, y), z); }
  // y where either is NaN.
  static F Max(F x, F y) {
    return Map(x, y, [](F4 a, F4 b) { return a > b ? a : b; });
  }
  static F Min(F x, F y) {
    return Map(x, y, [](F4 a, F4 b) { return a < b ? a : b; });
  }
  static F Sqrt(F x) {
    return Map(x, [](F4 a) { return F4{sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; });
  }
  // x < y ? yes : no
  static F SelectLess(F x, F y, F yes, F no) {
    return {x.a < y.a ? yes.a : no.a, x.b < y.b ? yes.b : no.b, x.c < y.c ? yes.c : no.c,
            x.d < y.d ? yes.d : no.d};
  }
  // Lanes n and above become `other`.
  static F KeepFirst(F x, int n, float other) {
    if (n >= 16) return x;
    float lanes[16];
    Store(lanes, x);
    for (int i = n < 0 ? 0 : n; i < 16; ++i) lanes[i] = other;
    return Load(lanes);
  }
  // To the nearest integer, for |x| < 2^22.
  static F Round(F x) {
    const F magic = Set1(12582912.0f);  // 1.5 * 2^23
    return Sub(Add(x, magic), magic);
  }
  // 2^n for an integral n in [-126, 127].
  static F Pow2(F n) {
    return Map(n, [](F4 a) {
      const I4 bits = (__builtin_convertvector(a, I4) + 127) << 23;
      return (F4)bits;
    });
  }
  static float Sum(F x) {
    const F4 s = (x.a + x.b) + (x.c + x.d);
    return (s[0] + s[1]) + (s[2] + s[3]);
  }
  static float MaxOf(F x) {
    float lanes[16];
    Store(lanes, x);
    float best = lanes[0];
    for (int i = 1; i < 16; ++i) best = lanes[i] > best ? lanes[i] : best;
    return best;
  }

  // ---- bfloat16 ----
  struct Pairs {
    U4 a, b, c, d;
  };
  static Pairs LoadPairs(const uint16_t* p) {  // 16 pairs
    Pairs v;
    std::memcpy(&v, p, 64);
    return v;
  }
  static Pairs Set1Pair(const uint16_t* p) {
    uint32_t pair;
    std::memcpy(&pair, p, 4);
    const U4 v = {pair, pair, pair, pair};
    return {v, v, v, v};
  }
  static F Low(Pairs p) {
    return {(F4)(p.a << 16), (F4)(p.b << 16), (F4)(p.c << 16), (F4)(p.d << 16)};
  }
  static F High(Pairs p) {
    const uint32_t m = 0xffff0000u;
    return {(F4)(p.a & m), (F4)(p.b & m), (F4)(p.c & m), (F4)(p.d & m)};
  }
  static U4 RoundBits(F4 x) {
    const U4 bits = (U4)x;
    const U4 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const U4 quiet = (bits >> 16) | 0x40u;
    return (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
  }
  static F LoadBf16(const uint16_t* p) {
    float lanes[16];
    for (int i = 0; i < 16; ++i) {
      const uint32_t bits = static_cast<uint32_t>(p[i]) << 16;
      std::memcpy(&lanes[i], &bits, 4);
    }
    return Load(lanes);
  }
  static F LoadBf16N(const uint16_t* p, int n) {
    if (n >= 16) return LoadBf16(p);
    uint16_t lanes[16] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return LoadBf16(lanes);
  }
  static void StoreBf16N(uint16_t* p, F x, int n) {
    uint32_t lanes[16];
    const Pairs bits = {RoundBits(x.a), RoundBits(x.b), RoundBits(x.c), RoundBits(x.d)};
    std::memcpy(lanes, &bits, 64);
    for (int i = 0; i < n; ++i) p[i] = static_cast<uint16_t>(lanes[i]);
  }
  static void StoreBf16(uint16_t* p, F x) { StoreBf16N(p, x, 16); }
  // 32 numbers, a then b, as operands of a product on tiles: denormals, which count as zero there,
  // may become zero here.
  static void StoreOperands(uint16_t* p, F a, F b) {
    StoreBf16(p, a);
    StoreBf16(p + 16, b);
  }
  // 16 pairs: even in the low halves, odd in the high ones.
  static void StorePairs(uint16_t* p, F even, F odd) {
    const Pairs v = {
        RoundBits(even.a) | RoundBits(odd.a) << 16, RoundBits(even.b) | RoundBits(odd.b) << 16,
        RoundBits(even.c) | RoundBits(odd.c) << 16, RoundBits(even.d) | RoundBits(odd.d) << 16};
    std::memcpy(p, &v, 64);
  }
  // out[j][i] = in[i][j], 16 x 16 words; strides in words. in == out is not allowed.
  static void Transpose16(const uint32_t* in, int64_t in_stride, uint32_t* out,
                          int64_t out_stride) {
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 16; ++j) out[j * out_stride + i] = in[i * in_stride + j];
    }
  }
  // out = a0 b0 a1 b1 ... a15 b15
  static void Zip(const uint16_t* a, const uint16_t* b, uint16_t* out) {
    for (int i = 0; i < 16; ++i) {
      out[2 * i] = a[i];
      out[2 * i + 1] = b[i];
    }
  }
};

}  // namespace ponder::kernels::portable
