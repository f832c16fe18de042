#pragma once

#include <cstdint>

#include "kernels/dtype.h"

// Helpers for kernels that are templates over an instruction set V (see simd_portable.h). Files
// named _inl.h are compiled once for each instruction set: no inline functions of the standard
// library in them, since a linker that keeps one copy might keep one that the processor cannot run;
// functions that do not depend on V are static for the same reason.
namespace ponder::kernels::cpu {

static inline int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }

// body(i, n) for each run of 16 elements of [0, count); n < 16 in the last one only.
template <typename Body>
inline void ForEach16(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, 16);
  if (i < count) body(i, static_cast<int>(count - i));
}

template <typename V>
inline typename V::F LoadActN(const void* p, DType dtype, int64_t i, int n) {
  return dtype == DType::kF32 ? V::LoadN(static_cast<const float*>(p) + i, n)
                              : V::LoadBf16N(static_cast<const uint16_t*>(p) + i, n);
}

template <typename V>
inline void StoreActN(void* p, DType dtype, int64_t i, typename V::F value, int n) {
  if (dtype == DType::kF32) {
    V::StoreN(static_cast<float*>(p) + i, value, n);
  } else {
    V::StoreBf16N(static_cast<uint16_t*>(p) + i, value, n);
  }
}

static inline void ZeroAct(void* p, DType dtype, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (dtype == DType::kF32) {
      static_cast<float*>(p)[i] = 0;
    } else {
      static_cast<uint16_t*>(p)[i] = 0;
    }
  }
}

static inline void* ActAt(void* p, DType dtype, int64_t i) {
  return static_cast<char*>(p) + i * SizeOf(dtype);
}
static inline const void* ActAt(const void* p, DType dtype, int64_t i) {
  return static_cast<const char*>(p) + i * SizeOf(dtype);
}

// e^x within 2 ulp for x in [-87.33, 88.37]; 0 below, 2.4e38 above, NaN for NaN. Cody-Waite
// reduction by ln 2 in two parts and the polynomial of Cephes' expf on [-ln 2 / 2, ln 2 / 2]; e^0
// is exactly 1.
template <typename V>
inline typename V::F Exp(typename V::F x) {
  using F = typename V::F;
  const F low = V::Set1(-87.3365f);
  const F clamped = V::Max(low, V::Min(V::Set1(88.376f), x));
  const F n = V::Round(V::Mul(clamped, V::Set1(1.44269504088896341f)));
  F r = V::Fma(n, V::Set1(-0.693359375f), clamped);
  r = V::Fma(n, V::Set1(2.12194440e-4f), r);
  F p = V::Fma(V::Set1(1.9875691500e-4f), r, V::Set1(1.3981999507e-3f));
  p = V::Fma(p, r, V::Set1(8.3334519073e-3f));
  p = V::Fma(p, r, V::Set1(4.1665795894e-2f));
  p = V::Fma(p, r, V::Set1(1.6666665459e-1f));
  p = V::Fma(p, r, V::Set1(5.0000001201e-1f));
  p = V::Add(V::Fma(V::Mul(p, r), r, r), V::Set1(1.0f));
  return V::SelectLess(x, low, V::Zero(), V::Mul(p, V::Pow2(n)));
}

// 1 / (1 + e^-x)
template <typename V>
inline typename V::F Sigmoid(typename V::F x) {
  const typename V::F one = V::Set1(1.0f);
  return V::Div(one, V::Add(one, Exp<V>(V::Sub(V::Zero(), x))));
}

}  // namespace ponder::kernels::cpu
