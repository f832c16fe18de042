#pragma once

#include <gmpxx.h>

#include <optional>

#include "verifiers/math/syntax.h"

namespace ponder::math {

enum class RationalOutcome {
  kValue,
  kUndefined,    // a division by zero, the factorial of a fraction
  kNotRational,  // or too large, or with variables: another way has to decide
};

struct RationalResult {
  RationalOutcome outcome = RationalOutcome::kNotRational;
  mpq_class value;
};

// The exact value of a tree without variables. Sizes are estimated before anything is computed: no
// intermediate result exceeds kMostRationalBits, and all together stay below 32 times that, which
// bounds the time to some milliseconds. Literals may be longer.
RationalResult EvaluateRational(const Node& node);

constexpr int64_t kMostRationalBits = int64_t{1} << 17;

}  // namespace ponder::math
