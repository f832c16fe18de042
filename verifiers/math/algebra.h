#pragma once

#include <optional>

#include "verifiers/math/syntax.h"

namespace ponder::math {

enum class Truth { kFalse, kTrue, kUnknown };

// Decides about single expressions; lists, sets and intervals are made of them elsewhere. An answer
// other than unknown is proven, or (for equality of expressions with variables, and of constants
// that no exact method knows) has been checked to at least 300 digits at random points. One thread
// at a time.
class Algebra {
 public:
  virtual ~Algebra() = default;

  // Equal values, for all values of the variables. Undefined expressions equal nothing.
  // `decimals` >= 0: equal to within half a unit of that decimal place is enough.
  virtual Truth Equal(const Node& a, const Node& b, int64_t decimals) = 0;

  // -1, 0 or 1 of a real constant; nothing where it is not known to be one.
  virtual std::optional<int> Sign(const Node& node) = 0;

  // Whether a = c b for a constant c other than 0, and c's sign: -1 or 1; 0: no such constant;
  // nothing: not known.
  virtual std::optional<int> Proportional(const Node& a, const Node& b) = 0;
};

// Rational constants only, in this process; everything else is unknown. Bounded in time and memory,
// see EvaluateRational.
class RationalAlgebra : public Algebra {
 public:
  Truth Equal(const Node& a, const Node& b, int64_t decimals) override;
  std::optional<int> Sign(const Node& node) override;
  std::optional<int> Proportional(const Node& a, const Node& b) override;
};

}  // namespace ponder::math
