#include "verifiers/math/algebra.h"
#include "verifiers/math/rational.h"

namespace ponder::math {
namespace {

// Half a unit of the last of `decimals` decimal places.
mpq_class HalfUnit(int64_t decimals) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, static_cast<unsigned long>(decimals));
  return mpq_class(1, power * 2);
}

}  // namespace

Truth RationalAlgebra::Equal(const Node& a, const Node& b, int64_t decimals) {
  const RationalResult left = EvaluateRational(a), right = EvaluateRational(b);
  if (left.outcome == RationalOutcome::kUndefined || right.outcome == RationalOutcome::kUndefined)
    return Truth::kFalse;
  if (left.outcome != RationalOutcome::kValue || right.outcome != RationalOutcome::kValue)
    return SameTree(a, b) ? Truth::kTrue : Truth::kUnknown;
  const bool equal = left.value == right.value ||
                     (decimals >= 0 && abs(left.value - right.value) <= HalfUnit(decimals));
  return equal ? Truth::kTrue : Truth::kFalse;
}

std::optional<int> RationalAlgebra::Sign(const Node& node) {
  const RationalResult result = EvaluateRational(node);
  if (result.outcome != RationalOutcome::kValue) return std::nullopt;
  return sgn(result.value);
}

std::optional<int> RationalAlgebra::Proportional(const Node& a, const Node& b) {
  if (SameTree(a, b)) return 1;
  return std::nullopt;
}

}  // namespace ponder::math
