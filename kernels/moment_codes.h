#pragma once

#include <cmath>

namespace ponder::kernels {

// What the 8-bit codes of AdamW's moments stand for, as shares of their block's scale: dynamic
// quantisation (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization"). Seven
// decades below 1, each with twice as many values as the one below it, evenly spread: 2^i for first
// moments, of either sign, and 2^(i + 1) for second ones in decade i; and 0 and 1.
inline constexpr int kMomentCodes = 256;
inline constexpr int kMomentDecades = 7;
enum class MomentSign { kEither, kPositive };

struct MomentMap {
  float values[kMomentCodes];  // ascending
};

// The code of 0.
constexpr int ZeroMoment(MomentSign sign) { return sign == MomentSign::kEither ? 127 : 0; }

inline MomentMap MakeMomentMap(MomentSign sign) {
  const int zero = ZeroMoment(sign);
  MomentMap map{};
  int code = zero;
  for (int decade = 0; decade < kMomentDecades; ++decade) {
    const int count = (sign == MomentSign::kEither ? 1 : 2) << decade;
    for (int i = 0; i < count; ++i) {
      const double share = 0.1 + 0.9 * (i + 0.5) / count;
      map.values[++code] = static_cast<float>(share * std::pow(10.0, decade + 1 - kMomentDecades));
      if (sign == MomentSign::kEither) map.values[2 * zero - code] = -map.values[code];
    }
  }
  map.values[++code] = 1;
  return map;
}

}  // namespace ponder::kernels
