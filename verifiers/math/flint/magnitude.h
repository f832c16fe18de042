#pragma once

#include <optional>

#include "verifiers/math/syntax.h"

namespace ponder::math {

// A positive number as a tower of twos: 2^2^...^top with `level` powers. Levels tell apart what no
// arithmetic could hold: 9^(9^9) has level 2, 9^(9^(9^9)) level 3.
struct Tower {
  int level = 0;
  double top = 0;
};
bool operator<(const Tower& a, const Tower& b);

// Bounds of an absolute value.
struct Magnitude {
  Tower low, high;
};

// Estimates a constant from its tree alone, without computing it; variables count as about 1.
// Rough on purpose: sums may cancel to 0, and rounding is covered by widening.
Magnitude EstimateMagnitude(const Node& node);

// The largest upper bound of any part of the tree: what would have to be held to compute it.
Tower LargestPart(const Node& node);

// 2^(2^30): nothing above is computed, not even as a ball with a long exponent.
constexpr Tower kLargestComputed{1, 1 << 30};

}  // namespace ponder::math
