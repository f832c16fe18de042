#include "verifiers/math/flint/flint_algebra.h"

#include <array>

#include "verifiers/math/flint/ball.h"
#include "verifiers/math/flint/exact.h"
#include "verifiers/math/flint/magnitude.h"
#include "verifiers/math/flint/rational_function.h"

namespace ponder::math {
namespace {

// Working precisions in turn: most differences show in the first.
constexpr auto kPrecisions = std::to_array<int64_t>({64, 256, 1100});
constexpr int64_t kProofBits = 1000;  // 300 digits: what counts as equal where nothing is exact
constexpr uint64_t kPoints = 12;
constexpr int64_t kLeastPoints = 3;

NodePtr Wrap(const Node& node) { return std::make_shared<Node>(node); }
NodePtr Difference(const Node& a, const Node& b) {
  return MakeNode(NodeKind::kAdd, {Wrap(a), MakeNode(NodeKind::kNegate, {Wrap(b)})});
}

// Bits of the ball's radius below the larger of the two magnitudes compared.
bool IsTight(const Ball& difference, const Ball& a, int64_t bits) {
  mag_t radius, size;
  mag_init(radius), mag_init(size);
  acb_get_mag(radius, difference.Get());  // an upper bound of |difference|: it contains 0
  acb_get_mag(size, a.Get());
  mag_mul_2exp_si(size, size, -bits);
  const bool tight = mag_cmp(radius, size) <= 0 || mag_cmp_2exp_si(radius, -bits) <= 0;
  mag_clear(radius), mag_clear(size);
  return tight;
}

// |difference| against half a unit of a decimal place.
Truth WithinDecimals(const Ball& difference, int64_t decimals, int64_t bits) {
  arb_t size, limit;
  arb_init(size), arb_init(limit);
  acb_abs(size, difference.Get(), bits);
  arb_set_si(limit, 10);
  arb_pow_ui(limit, limit, static_cast<ulong>(decimals), bits);
  arb_mul_2exp_si(limit, limit, 1);
  arb_inv(limit, limit, bits);
  const Truth truth = arb_le(size, limit) != 0   ? Truth::kTrue
                      : arb_gt(size, limit) != 0 ? Truth::kFalse
                                                 : Truth::kUnknown;
  arb_clear(size), arb_clear(limit);
  return truth;
}

class FlintAlgebra : public Algebra {
 public:
  Truth Equal(const Node& a, const Node& b, int64_t decimals) override {
    if (const Truth truth = rational_.Equal(a, b, decimals); truth != Truth::kUnknown) return truth;
    if (IsTooLarge(a) || IsTooLarge(b)) return CompareSizes(a, b);
    if (DependsOnPoint(a) || DependsOnPoint(b)) return EqualFunctions(a, b);
    return EqualConstants(a, b, decimals);
  }

  std::optional<int> Sign(const Node& node) override {
    if (const std::optional<int> sign = rational_.Sign(node)) return sign;
    if (IsTooLarge(node) || DependsOnPoint(node)) return std::nullopt;
    for (const int64_t bits : kPrecisions) {
      Ball value;
      if (!EvaluateBall(node, {}, bits, value)) return std::nullopt;
      if (!arb_contains_zero(acb_imagref(value.Get()))) return std::nullopt;
      const arb_srcptr real = acb_realref(value.Get());
      if (!arb_contains_zero(real)) return arb_is_positive(real) != 0 ? 1 : -1;
    }
    return 0;
  }

  std::optional<int> Proportional(const Node& a, const Node& b) override {
    if (IsTooLarge(a) || IsTooLarge(b)) return std::nullopt;
    if (const auto relation = RelateRationalFunctions(a, b)) return relation->factor_sign;
    return ProportionalAtPoints(a, b);
  }

 private:
  static bool IsTooLarge(const Node& node) { return kLargestComputed < LargestPart(node); }

  static Truth CompareSizes(const Node& a, const Node& b) {
    if (SameTree(a, b)) return Truth::kTrue;
    const Magnitude left = EstimateMagnitude(a), right = EstimateMagnitude(b);
    // A margin for the estimates' slack: a millionth of the top.
    const auto below = [](Tower x, const Tower& y) {
      x.top *= 1.001;
      return x < y;
    };
    return below(left.high, right.low) || below(right.high, left.low) ? Truth::kFalse
                                                                      : Truth::kUnknown;
  }

  Truth EqualConstants(const Node& a, const Node& b, int64_t decimals) {
    for (const int64_t bits : kPrecisions) {
      Ball left, right, difference;
      // What is not finite at any precision is undefined, and equals nothing.
      if (!EvaluateBall(a, {}, bits, left) || !EvaluateBall(b, {}, bits, right)) {
        if (bits == kPrecisions.back()) return Truth::kFalse;
        continue;
      }
      acb_sub(difference.Get(), left.Get(), right.Get(), bits);
      if (decimals >= 0) {
        if (const Truth truth = WithinDecimals(difference, decimals, bits);
            truth != Truth::kUnknown)
          return truth;
      } else if (!acb_contains_zero(difference.Get())) {
        return Truth::kFalse;
      } else if (bits == kPrecisions.back()) {
        const Truth exact = IsExactlyZero(*Difference(a, b));
        if (exact != Truth::kUnknown) return exact;
        return IsTight(difference, left, kProofBits) ? Truth::kTrue : Truth::kUnknown;
      }
    }
    return Truth::kUnknown;
  }

  struct PointValues {
    bool usable = false;
    bool real = false;
    Ball a, b;
  };

  static PointValues ValuesAt(const Node& a, const Node& b, uint64_t point, int64_t bits) {
    PointValues values;
    values.usable =
        EvaluateBall(a, {point}, bits, values.a) && EvaluateBall(b, {point}, bits, values.b);
    values.real = values.usable && acb_is_real(values.a.Get()) && acb_is_real(values.b.Get());
    return values;
  }

  // Where both sides are real at enough points, only these count: roots of negative numbers mean
  // different things to different people.
  Truth EqualFunctions(const Node& a, const Node& b) {
    if (const auto relation = RelateRationalFunctions(a, b))
      return relation->equal ? Truth::kTrue : Truth::kFalse;
    Truth real = Truth::kUnknown, complex = Truth::kUnknown;
    int64_t real_points = 0, complex_points = 0;
    for (uint64_t point = 0; point < kPoints; ++point) {
      constexpr int64_t kBits = 400, kNeeded = 200;
      const PointValues values = ValuesAt(a, b, point, kBits);
      if (!values.usable) continue;
      Ball difference;
      acb_sub(difference.Get(), values.a.Get(), values.b.Get(), kBits);
      Truth here = Truth::kUnknown;
      if (!acb_contains_zero(difference.Get()))
        here = Truth::kFalse;
      else if (IsTight(difference, values.a, kNeeded))
        here = Truth::kTrue;
      if (here == Truth::kUnknown) continue;
      Truth& side = values.real ? real : complex;
      ++(values.real ? real_points : complex_points);
      side = side == Truth::kFalse ? side : here;
    }
    if (real == Truth::kFalse || real_points >= kLeastPoints) return real;
    if (complex == Truth::kFalse) return complex;
    return real_points + complex_points >= kLeastPoints ? Truth::kTrue : Truth::kUnknown;
  }

  // The quotients at several points against that at the first.
  std::optional<int> ProportionalAtPoints(const Node& a, const Node& b) {
    constexpr int64_t kBits = 400, kNeeded = 200;
    std::optional<Ball> first;
    int64_t same = 0;
    for (uint64_t point = 0; point < kPoints; ++point) {
      PointValues values = ValuesAt(a, b, point, kBits);
      if (!values.real || acb_contains_zero(values.a.Get()) || acb_contains_zero(values.b.Get()))
        continue;
      Ball quotient, difference;
      acb_div(quotient.Get(), values.a.Get(), values.b.Get(), kBits);
      if (!first) {
        first = quotient;
        continue;
      }
      acb_sub(difference.Get(), quotient.Get(), first->Get(), kBits);
      if (!acb_contains_zero(difference.Get())) return 0;
      if (IsTight(difference, quotient, kNeeded)) ++same;
    }
    if (same < kLeastPoints) return std::nullopt;
    return arb_is_positive(acb_realref(first->Get())) != 0 ? 1 : -1;
  }

  RationalAlgebra rational_;
};

}  // namespace

std::unique_ptr<Algebra> CreateFlintAlgebra() { return std::make_unique<FlintAlgebra>(); }

}  // namespace ponder::math
