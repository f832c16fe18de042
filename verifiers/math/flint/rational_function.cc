#include "verifiers/math/flint/rational_function.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "verifiers/math/flint/calcium_quotient.h"

namespace ponder::math {
namespace {

constexpr size_t kMostVariables = 12;
constexpr int64_t kMostTerms = 4000;
constexpr int64_t kMostPower = 200;
constexpr int64_t kMostCoefficientBits = 1 << 16;

bool CollectSymbols(const Node& node, std::vector<std::string>& names) {
  if (node.kind == NodeKind::kSymbol &&
      std::find(names.begin(), names.end(), node.name) == names.end()) {
    names.push_back(node.name);
  }
  return names.size() <= kMostVariables &&
         std::all_of(node.children.begin(), node.children.end(),
                     [&](const NodePtr& child) { return CollectSymbols(*child, names); });
}

class Quotient {
 public:
  explicit Quotient(const std::vector<std::string>& names)
      : value_(CalciumCreateQuotient(std::max<int64_t>(1, std::ssize(names)))) {}
  ~Quotient() { CalciumFreeQuotient(value_); }
  Quotient(const Quotient&) = delete;
  Quotient& operator=(const Quotient&) = delete;

  CalciumQuotient* Get() { return value_; }
  bool IsZero() const { return CalciumQuotientIsZero(value_); }
  // Whether a product or quotient with `other` stays within the limits.
  bool Fits(const Quotient& other) const {
    return CalciumTermsOfQuotient(value_) * CalciumTermsOfQuotient(other.value_) <= kMostTerms &&
           CalciumCoefficientBitsOfQuotient(value_) +
                   CalciumCoefficientBitsOfQuotient(other.value_) <=
               kMostCoefficientBits;
  }

 private:
  CalciumQuotient* value_;
};

class Evaluator {
 public:
  explicit Evaluator(const std::vector<std::string>& names) : names_(names) {}

  bool Run(const Node& node, Quotient& out) {
    switch (node.kind) {
      case NodeKind::kNumber:
        CalciumSetQuotientToRational(out.Get(), node.number.get_mpq_t());
        return true;
      case NodeKind::kSymbol:
        CalciumSetQuotientToVariable(
            out.Get(), std::find(names_.begin(), names_.end(), node.name) - names_.begin());
        return true;
      case NodeKind::kNegate:
        if (!Run(*node.children[0], out)) return false;
        CalciumNegateQuotient(out.Get());
        return true;
      case NodeKind::kUnit:
        return Run(*node.children[0], out);
      case NodeKind::kAdd:
      case NodeKind::kMultiply:
      case NodeKind::kDivide:
        return Operation(node, out);
      case NodeKind::kPower:
        return Power(node, out);
      default:
        return false;
    }
  }

 private:
  bool Operation(const Node& node, Quotient& out) {
    if (!Run(*node.children[0], out)) return false;
    for (size_t i = 1; i < node.children.size(); ++i) {
      Quotient operand(names_);
      if (!Run(*node.children[i], operand)) return false;
      // Sums of quotients multiply denominators, so the product is the bound for all of them.
      if (!out.Fits(operand)) return false;
      if (node.kind == NodeKind::kAdd) {
        CalciumAddQuotient(out.Get(), operand.Get());
      } else if (node.kind == NodeKind::kMultiply) {
        CalciumMultiplyQuotient(out.Get(), operand.Get());
      } else {
        if (operand.IsZero()) return false;
        CalciumDivideQuotient(out.Get(), operand.Get());
      }
    }
    return true;
  }

  bool Power(const Node& node, Quotient& out) {
    const Node* exponent = node.children[1].get();
    const bool negative = exponent->kind == NodeKind::kNegate;
    if (negative) exponent = exponent->children[0].get();
    if (exponent->kind != NodeKind::kNumber || exponent->number.get_den() != 1 ||
        exponent->number < 0 || exponent->number > kMostPower) {
      return false;
    }
    Quotient base(names_);
    if (!Run(*node.children[0], base)) return false;
    if (negative) {
      if (base.IsZero()) return false;
      CalciumInvertQuotient(base.Get());
    }
    CalciumSetQuotientToRational(out.Get(), mpq_class(1).get_mpq_t());
    for (int64_t i = exponent->number.get_num().get_si(); i > 0; --i) {
      if (!out.Fits(base)) return false;
      CalciumMultiplyQuotient(out.Get(), base.Get());
    }
    return true;
  }

  const std::vector<std::string>& names_;
};

}  // namespace

std::optional<RationalFunctionRelation> RelateRationalFunctions(const Node& a, const Node& b) {
  std::vector<std::string> names;
  if (!CollectSymbols(a, names) || !CollectSymbols(b, names)) return std::nullopt;
  Quotient left(names), right(names);
  Evaluator evaluator(names);
  if (!evaluator.Run(a, left) || !evaluator.Run(b, right)) return std::nullopt;
  RationalFunctionRelation relation{.equal = CalciumQuotientsAreEqual(left.Get(), right.Get())};
  if (left.IsZero() || right.IsZero()) return relation;
  if (!left.Fits(right)) return std::nullopt;
  CalciumDivideQuotient(left.Get(), right.Get());
  relation.factor_sign = CalciumSignOfConstantQuotient(left.Get());
  return relation;
}

}  // namespace ponder::math
