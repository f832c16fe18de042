#pragma once

#include <optional>

#include "verifiers/math/syntax.h"

namespace ponder::math {

// What two quotients of polynomials with rational coefficients are to each other.
struct RationalFunctionRelation {
  bool equal = false;
  int factor_sign = 0;  // of the constant c with a = c b; 0: there is none, or one side is 0
};

// Compares the canonical forms. Nothing where either side is no rational function of at most 12
// variables, divides by zero, or would grow beyond some thousand terms.
std::optional<RationalFunctionRelation> RelateRationalFunctions(const Node& a, const Node& b);

}  // namespace ponder::math
