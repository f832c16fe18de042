#pragma once

#include <string>

#include "verifiers/math/algebra.h"
#include "verifiers/math/syntax.h"

namespace ponder::math {

// How strictly answers are held against golds. The defaults are what a reward needs.
struct CompareOptions {
  // Decimal places to which numbers with a decimal point are compared; -1: exactly.
  int64_t decimal_places = -1;
  // 28% equals 28 and 0.28, since "how many percent" is asked either way; false: 0.28 only.
  bool percent_either_way = true;
  // Units are left away; true: where both sides have one, it must be the same.
  bool units_must_match = false;
  // As graders for evaluation: of a chain that contradicts itself (1/2 = 10/9) the last link
  // counts, and {1, 3} equals (1, 3).
  bool lenient = false;
};

constexpr int64_t kMostDecimalPlaces = 100;

struct Comparison {
  Truth equal = Truth::kUnknown;
  std::string reason;  // for people, where they are not equal
};

// Whether an answer means the same as the gold. Type first: numbers against numbers, tuples in
// order, sets without order and repetition, intervals by ends and brackets, inequalities by what
// they allow, equations up to a constant factor, matrices entry by entry, text by its letters. What
// is ambiguous on one side, such as (1, 2), is read as the other side's type. Where `algebra` is at
// a loss the result is unknown.
Comparison Compare(const NodePtr& gold, const NodePtr& answer, const CompareOptions& options,
                   Algebra& algebra);

}  // namespace ponder::math
