#pragma once

#include "verifiers/math/algebra.h"
#include "verifiers/math/syntax.h"

namespace ponder::math {

// Whether a constant is exactly 0, by Calcium's exact fields (algebraic numbers, and exponentials
// and logarithms of them). Runs in a forked child for at most 30 ms, since some fields have no
// small bound; unknown where that was not enough. Call it from a process of one thread.
Truth IsExactlyZero(const Node& node);

}  // namespace ponder::math
