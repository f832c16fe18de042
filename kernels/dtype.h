#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace ponder::kernels {

// What weights, the inputs of matrix products and the key/value cache are made of. Sums are always
// fp32.
enum class DType { kF32, kBF16 };

inline std::string_view ToString(DType dtype) { return dtype == DType::kF32 ? "f32" : "bf16"; }
inline int64_t SizeOf(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// bfloat16: the upper half of a float.
struct BF16 {
  uint16_t bits = 0;

  friend bool operator==(BF16, BF16) = default;
};

inline float ToF32(BF16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Round to nearest, ties to even; a NaN stays a quiet NaN.
inline BF16 ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace ponder::kernels
