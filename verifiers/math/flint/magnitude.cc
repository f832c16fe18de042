#include "verifiers/math/flint/magnitude.h"

#include <algorithm>
#include <cmath>

namespace ponder::math {
namespace {

constexpr double kMostTop = 1e300;  // beyond, the tower gains a level
constexpr double kSlack = 1e-6;     // relative, covers the rounding of doubles

Tower Exp2(Tower x) {
  if (x.level > 0) return {x.level + 1, x.top};
  return x.top < 900 ? Tower{0, std::exp2(x.top)} : Tower{1, x.top};
}

// Of numbers of at least 1.
Tower Log2(Tower x) {
  if (x.level > 0) return x.level == 1 ? Tower{0, x.top} : Tower{x.level - 1, x.top};
  return {0, std::log2(std::max(1.0, x.top))};
}

Tower Normal(Tower x) {
  while (x.level > 0 && x.top < 900) x = {x.level - 1, std::exp2(x.top)};
  while (x.top > kMostTop) x = {x.level + 1, std::log2(x.top)};
  return x;
}

Tower Plus(Tower a, Tower b) {
  a = Normal(a), b = Normal(b);
  if (a.level == 0 && b.level == 0) return Normal({0, a.top + b.top});
  const Tower& larger = a < b ? b : a;
  if (larger.level == 1) return {1, larger.top + 1};
  return {larger.level, larger.top * (1 + kSlack)};
}

Tower Times(Tower a, Tower b) {
  a = Normal(a), b = Normal(b);
  if (a.level == 0 && b.level == 0) {
    const double product = a.top * b.top;
    if (std::isfinite(product)) return Normal({0, product});
    return {1, std::log2(a.top) + std::log2(b.top)};
  }
  if (a < Tower{0, 1} || b < Tower{0, 1}) return a < b ? b : a;  // an upper bound
  return Normal(Exp2(Plus(Log2(a), Log2(b))));
}

Tower One() { return {0, 1}; }
Tower Zero() { return {0, 0}; }
Tower Max(Tower a, Tower b) { return a < b ? b : a; }

double Log2Of(const mpz_class& value) {
  long exponent = 0;
  const double mantissa = mpz_get_d_2exp(&exponent, value.get_mpz_t());
  return std::log2(std::abs(mantissa)) + static_cast<double>(exponent);
}

Magnitude OfNumber(const mpq_class& number) {
  if (number == 0) return {Zero(), Zero()};
  const double log2 = Log2Of(number.get_num()) - Log2Of(number.get_den());
  const auto tower = [](double exponent) {
    return std::abs(exponent) < 900 ? Tower{0, std::exp2(exponent)}
           : exponent > 0           ? Tower{1, exponent}
                                    : Tower{0, 0};
  };
  return {tower(log2 - kSlack), tower(log2 + kSlack)};
}

bool IsNegative(const Node& node) {
  return node.kind == NodeKind::kNegate || (node.kind == NodeKind::kNumber && node.number < 0);
}

class Estimator {
 public:
  Magnitude Run(const Node& node) {
    const Magnitude magnitude = Estimate(node);
    largest_ = Max(largest_, Normal(magnitude.high));
    return {Normal(magnitude.low), Normal(magnitude.high)};
  }
  Tower Largest() const { return largest_; }

 private:
  Magnitude Estimate(const Node& node) {
    switch (node.kind) {
      case NodeKind::kNumber:
        return OfNumber(node.number);
      case NodeKind::kAdd: {
        Magnitude sum{Zero(), Zero()};
        for (const NodePtr& child : node.children) sum.high = Plus(sum.high, Run(*child).high);
        return sum;
      }
      case NodeKind::kMultiply: {
        Magnitude product{One(), One()};
        for (const NodePtr& child : node.children) {
          const Magnitude factor = Run(*child);
          product.high = Times(product.high, factor.high);
          // Lower bounds multiply where they are at least 1.
          product.low =
              factor.low < One() || product.low < One() ? Zero() : Times(product.low, factor.low);
        }
        return product;
      }
      case NodeKind::kDivide: {
        const Magnitude numerator = Run(*node.children[0]);
        Run(*node.children[1]);
        return {Zero(), Times(numerator.high, Tower{0, 1e6})};
      }
      case NodeKind::kPower:
        return Power(Run(*node.children[0]), Run(*node.children[1]), IsNegative(*node.children[1]));
      case NodeKind::kFunction:
        return Function(node);
      case NodeKind::kNegate:
      case NodeKind::kPercent:
      case NodeKind::kUnit:
        return Run(*node.children[0]);
      default: {
        for (const NodePtr& child : node.children) Run(*child);
        return {Zero(), {0, 100}};
      }
    }
  }

  Magnitude Power(const Magnitude& base, const Magnitude& exponent, bool negative) {
    const Tower high = Normal(Exp2(Times(Log2(Max(base.high, {0, 2})), Max(exponent.high, One()))));
    if (negative || base.low < Tower{0, 1.01}) return {Zero(), high};
    return {Normal(Exp2(Times(Log2(base.low), exponent.low))), high};
  }

  Magnitude Function(const Node& node) {
    Magnitude first{Zero(), {0, 100}};
    for (size_t i = 0; i < node.children.size(); ++i) {
      const Magnitude argument = Run(*node.children[i]);
      if (i == 0) first = argument;
    }
    if (node.name == "factorial") {
      // (n / e)^n <= n! <= n^n
      const Tower third = first.low < Tower{0, 9} ? Zero() : Times(first.low, {0, 1.0 / 3});
      const Tower low =
          first.low < Tower{0, 9} ? Zero() : Normal(Exp2(Times(Log2(third), first.low)));
      return {low, Normal(Exp2(Times(Log2(Max(first.high, {0, 2})), Max(first.high, One()))))};
    }
    if (node.name == "exp") return {Zero(), Normal(Exp2(Times(first.high, {0, 1.5})))};
    if (node.name == "binom") return {Zero(), Normal(Exp2(first.high))};
    if (node.name == "abs" || node.name == "floor" || node.name == "ceil") {
      return {Zero(), Plus(first.high, One())};
    }
    return {Zero(), Max(first.high, {0, 100})};
  }

  Tower largest_ = Zero();
};

}  // namespace

bool operator<(const Tower& a, const Tower& b) {
  return a.level != b.level ? a.level < b.level : a.top < b.top;
}

Magnitude EstimateMagnitude(const Node& node) { return Estimator().Run(node); }

Tower LargestPart(const Node& node) {
  Estimator estimator;
  estimator.Run(node);
  return estimator.Largest();
}

}  // namespace ponder::math
