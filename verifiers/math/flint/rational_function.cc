#include "verifiers/math/flint/rational_function.h"

#include <calcium/fmpz_mpoly_q.h>
#include <flint/fmpq.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

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

class Context {
 public:
  explicit Context(std::vector<std::string> names) : names_(std::move(names)) {
    fmpz_mpoly_ctx_init(context_, static_cast<slong>(std::max<size_t>(1, names_.size())), ORD_LEX);
  }
  ~Context() { fmpz_mpoly_ctx_clear(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const fmpz_mpoly_ctx_struct* Get() const { return context_; }
  slong IndexOf(const std::string& name) const {
    return std::find(names_.begin(), names_.end(), name) - names_.begin();
  }

 private:
  std::vector<std::string> names_;
  fmpz_mpoly_ctx_t context_;
};

class Quotient {
 public:
  explicit Quotient(const Context& context) : context_(context) {
    fmpz_mpoly_q_init(value_, context.Get());
  }
  ~Quotient() { fmpz_mpoly_q_clear(value_, context_.Get()); }
  Quotient(const Quotient&) = delete;
  Quotient& operator=(const Quotient&) = delete;

  fmpz_mpoly_q_struct* Get() { return value_; }
  // Whether a product or quotient with `other` stays within the limits.
  bool Fits(const Quotient& other) const {
    return Terms() * other.Terms() <= kMostTerms &&
           CoefficientBits() + other.CoefficientBits() <= kMostCoefficientBits;
  }

 private:
  int64_t CoefficientBits() const {
    return std::abs(fmpz_mpoly_max_bits(fmpz_mpoly_q_numref(value_))) +
           std::abs(fmpz_mpoly_max_bits(fmpz_mpoly_q_denref(value_)));
  }
  int64_t Terms() const {
    return fmpz_mpoly_length(fmpz_mpoly_q_numref(value_), context_.Get()) +
           fmpz_mpoly_length(fmpz_mpoly_q_denref(value_), context_.Get());
  }

  const Context& context_;
  fmpz_mpoly_q_t value_;
};

class Evaluator {
 public:
  explicit Evaluator(const Context& context) : context_(context) {}

  bool Run(const Node& node, Quotient& out) {
    switch (node.kind) {
      case NodeKind::kNumber: {
        fmpq_t rational;
        fmpq_init(rational);
        fmpq_set_mpq(rational, node.number.get_mpq_t());
        fmpz_mpoly_q_set_fmpq(out.Get(), rational, context_.Get());
        fmpq_clear(rational);
        return true;
      }
      case NodeKind::kSymbol:
        fmpz_mpoly_q_gen(out.Get(), context_.IndexOf(node.name), context_.Get());
        return true;
      case NodeKind::kNegate:
        if (!Run(*node.children[0], out)) return false;
        fmpz_mpoly_q_neg(out.Get(), out.Get(), context_.Get());
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
      Quotient operand(context_);
      if (!Run(*node.children[i], operand)) return false;
      // Sums of quotients multiply denominators, so the product is the bound for all of them.
      if (!out.Fits(operand)) return false;
      if (node.kind == NodeKind::kAdd) {
        fmpz_mpoly_q_add(out.Get(), out.Get(), operand.Get(), context_.Get());
      } else if (node.kind == NodeKind::kMultiply) {
        fmpz_mpoly_q_mul(out.Get(), out.Get(), operand.Get(), context_.Get());
      } else {
        if (fmpz_mpoly_q_is_zero(operand.Get(), context_.Get())) return false;
        fmpz_mpoly_q_div(out.Get(), out.Get(), operand.Get(), context_.Get());
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
    Quotient base(context_);
    if (!Run(*node.children[0], base)) return false;
    if (negative) {
      if (fmpz_mpoly_q_is_zero(base.Get(), context_.Get())) return false;
      fmpz_mpoly_q_inv(base.Get(), base.Get(), context_.Get());
    }
    fmpz_mpoly_q_one(out.Get(), context_.Get());
    for (int64_t i = exponent->number.get_num().get_si(); i > 0; --i) {
      if (!out.Fits(base)) return false;
      fmpz_mpoly_q_mul(out.Get(), out.Get(), base.Get(), context_.Get());
    }
    return true;
  }

  const Context& context_;
};

}  // namespace

std::optional<RationalFunctionRelation> RelateRationalFunctions(const Node& a, const Node& b) {
  std::vector<std::string> names;
  if (!CollectSymbols(a, names) || !CollectSymbols(b, names)) return std::nullopt;
  const Context context(std::move(names));
  Quotient left(context), right(context);
  Evaluator evaluator(context);
  if (!evaluator.Run(a, left) || !evaluator.Run(b, right)) return std::nullopt;
  RationalFunctionRelation relation{
      .equal = fmpz_mpoly_q_equal(left.Get(), right.Get(), context.Get()) != 0};
  if (fmpz_mpoly_q_is_zero(left.Get(), context.Get()) ||
      fmpz_mpoly_q_is_zero(right.Get(), context.Get())) {
    return relation;
  }
  if (!left.Fits(right)) return std::nullopt;
  fmpz_mpoly_q_div(left.Get(), left.Get(), right.Get(), context.Get());
  if (fmpz_mpoly_q_is_fmpq(left.Get(), context.Get())) {
    fmpz_t constant;
    fmpz_init(constant);
    fmpz_mpoly_get_fmpz(constant, fmpz_mpoly_q_numref(left.Get()), context.Get());
    relation.factor_sign = fmpz_sgn(constant);  // denominators are positive
    fmpz_clear(constant);
  }
  return relation;
}

}  // namespace ponder::math
