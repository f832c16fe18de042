#include "verifiers/math/rational.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace ponder::math {
namespace {

constexpr int64_t kWorkBits = 32 * kMostRationalBits;
constexpr int64_t kMostFactorial = 10'000;

int64_t Bits(const mpz_class& value) {
  return static_cast<int64_t>(mpz_sizeinbase(value.get_mpz_t(), 2));
}
int64_t Bits(const mpq_class& value) { return Bits(value.get_num()) + Bits(value.get_den()); }
bool IsWhole(const mpq_class& value) { return value.get_den() == 1; }

class Evaluator {
 public:
  RationalResult Run(const Node& node) {
    switch (node.kind) {
      case NodeKind::kNumber:
        return Value(node.number, /*counted=*/false);
      case NodeKind::kUnit:
        return node.name == "degree" ? NotRational() : Run(*node.children[0]);
      case NodeKind::kPercent: {
        RationalResult inner = Run(*node.children[0]);
        if (inner.outcome == RationalOutcome::kValue) inner.value /= 100;
        return inner;
      }
      case NodeKind::kAdd:
      case NodeKind::kMultiply:
      case NodeKind::kDivide:
      case NodeKind::kNegate:
      case NodeKind::kPower:
      case NodeKind::kFunction:
        break;
      default:
        return NotRational();
    }
    std::vector<mpq_class> values;
    for (const NodePtr& child : node.children) {
      RationalResult result = Run(*child);
      if (result.outcome != RationalOutcome::kValue) return result;
      values.push_back(std::move(result.value));
    }
    return Apply(node, values);
  }

 private:
  static RationalResult Undefined() { return {RationalOutcome::kUndefined, {}}; }
  static RationalResult NotRational() { return {RationalOutcome::kNotRational, {}}; }

  RationalResult Value(mpq_class value, bool counted = true) {
    if (counted) work_ += Bits(value);
    if (work_ > kWorkBits) return NotRational();
    return {RationalOutcome::kValue, std::move(value)};
  }

  RationalResult Apply(const Node& node, const std::vector<mpq_class>& values) {
    int64_t bits = 0;
    for (const mpq_class& value : values) bits += Bits(value);
    switch (node.kind) {
      case NodeKind::kNegate:
        return Value(-values[0]);
      case NodeKind::kAdd:
      case NodeKind::kMultiply: {
        if (bits > kMostRationalBits) return NotRational();
        mpq_class result = values[0];
        for (size_t i = 1; i < values.size(); ++i) {
          if (node.kind == NodeKind::kAdd)
            result += values[i];
          else
            result *= values[i];
        }
        return Value(std::move(result));
      }
      case NodeKind::kDivide:
        if (values[1] == 0) return Undefined();
        if (bits > kMostRationalBits) return NotRational();
        return Value(values[0] / values[1]);
      case NodeKind::kPower:
        return Power(values[0], values[1]);
      default:
        return Function(node.name, values, bits);
    }
  }

  RationalResult Power(const mpq_class& base, const mpq_class& exponent) {
    if (base == 0) {
      if (exponent <= 0) return Undefined();
      return Value(0);
    }
    if (base == 1) return Value(1);
    if (!IsWhole(exponent)) {
      // (a/b)^(p/q): a whole root, then a whole power; of negative bases the principal value is
      // complex.
      if (base < 0 || !exponent.get_den().fits_uint_p()) return NotRational();
      const RationalResult root = Root(base, mpq_class(exponent.get_den()));
      if (root.outcome != RationalOutcome::kValue) return root;
      return Power(root.value, mpq_class(exponent.get_num()));
    }
    const mpz_class power = abs(exponent.get_num());
    if (base == -1) return Value(power % 2 == 0 ? 1 : -1);
    if (!power.fits_uint_p() ||
        Bits(base) * static_cast<int64_t>(power.get_ui()) > kMostRationalBits)
      return NotRational();
    mpq_class result;
    mpz_pow_ui(result.get_num_mpz_t(), base.get_num_mpz_t(), power.get_ui());
    mpz_pow_ui(result.get_den_mpz_t(), base.get_den_mpz_t(), power.get_ui());
    result.canonicalize();
    if (exponent < 0) result = 1 / result;
    return Value(std::move(result));
  }

  RationalResult Root(const mpq_class& radicand, const mpq_class& degree) {
    if (!IsWhole(degree) || degree <= 0) return NotRational();
    if (!degree.get_num().fits_uint_p()) return NotRational();
    const unsigned long n = degree.get_num().get_ui();
    if (radicand < 0 && n % 2 == 0) return NotRational();
    if (n > static_cast<unsigned long>(kMostRationalBits)) {
      return radicand == 0 || radicand == 1 ? Value(radicand) : NotRational();
    }
    mpq_class root;
    const bool exact = mpz_root(root.get_num_mpz_t(), radicand.get_num_mpz_t(), n) != 0 &&
                       mpz_root(root.get_den_mpz_t(), radicand.get_den_mpz_t(), n) != 0;
    return exact ? Value(std::move(root)) : NotRational();
  }

  RationalResult Function(std::string_view name, const std::vector<mpq_class>& values,
                          int64_t bits) {
    const mpq_class& x = values[0];
    if (name == "root" && values.size() == 2) return Root(values[0], values[1]);
    if (name == "factorial") {
      if (!IsWhole(x) || x < 0) return Undefined();
      if (x > kMostFactorial) return NotRational();
      mpz_class result;
      mpz_fac_ui(result.get_mpz_t(), x.get_num().get_ui());
      return Value(mpq_class(result));
    }
    if (name == "binom" && values.size() == 2) return Binomial(values[0], values[1]);
    if (bits > kMostRationalBits) return NotRational();
    if (values.size() == 1) {
      if (name == "abs") return Value(abs(x));
      if (name == "sgn") return Value(sgn(x));
      if (name == "floor" || name == "ceil") {
        mpz_class whole;
        (name == "floor" ? mpz_fdiv_q : mpz_cdiv_q)(whole.get_mpz_t(), x.get_num_mpz_t(),
                                                    x.get_den_mpz_t());
        return Value(mpq_class(whole));
      }
      return NotRational();
    }
    if (name == "max") return Value(*std::max_element(values.begin(), values.end()));
    if (name == "min") return Value(*std::min_element(values.begin(), values.end()));
    if (!std::all_of(values.begin(), values.end(), IsWhole)) return NotRational();
    if (name == "mod" && values.size() == 2) {
      if (values[1] <= 0) return Undefined();
      mpz_class rest;
      mpz_fdiv_r(rest.get_mpz_t(), values[0].get_num_mpz_t(), values[1].get_num_mpz_t());
      return Value(mpq_class(rest));
    }
    if (name == "gcd" || name == "lcm") {
      mpz_class result = x.get_num();
      for (const mpq_class& value : values) {
        (name == "gcd" ? mpz_gcd : mpz_lcm)(result.get_mpz_t(), result.get_mpz_t(),
                                            value.get_num_mpz_t());
      }
      return Value(mpq_class(result));
    }
    return NotRational();
  }

  RationalResult Binomial(const mpq_class& upper, const mpq_class& lower) {
    if (!IsWhole(upper) || !IsWhole(lower)) return Undefined();
    mpz_class k = lower.get_num();
    if (k < 0) return Value(0);
    if (upper >= 0 && k > upper.get_num()) return Value(0);
    if (upper >= 0) k = std::min<mpz_class>(k, upper.get_num() - k);
    if (k > kMostFactorial || Bits(upper) * static_cast<int64_t>(k.get_ui()) > kMostRationalBits)
      return NotRational();
    mpz_class result;
    mpz_bin_ui(result.get_mpz_t(), upper.get_num_mpz_t(), k.get_ui());
    return Value(mpq_class(result));
  }

  int64_t work_ = 0;  // bits of all results so far
};

}  // namespace

RationalResult EvaluateRational(const Node& node) { return Evaluator().Run(node); }

}  // namespace ponder::math
