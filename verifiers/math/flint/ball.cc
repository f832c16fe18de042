#include "verifiers/math/flint/ball.h"

#include <acb_hypgeom.h>
#include <flint/fmpq.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

namespace ponder::math {
namespace {

using Unary = void (*)(acb_t, const acb_t, slong);

void Arcsine(acb_t out, const acb_t x, slong bits) { acb_asin(out, x, bits); }
void Arccot(acb_t out, const acb_t x, slong bits) {
  acb_inv(out, x, bits);
  acb_atan(out, out, bits);
}

constexpr auto kUnary = std::to_array<std::pair<std::string_view, Unary>>({
    {"sin", acb_sin},
    {"cos", acb_cos},
    {"tan", acb_tan},
    {"cot", acb_cot},
    {"sec", acb_sec},
    {"csc", acb_csc},
    {"arcsin", Arcsine},
    {"arccos", acb_acos},
    {"arctan", acb_atan},
    {"arccot", Arccot},
    {"sinh", acb_sinh},
    {"cosh", acb_cosh},
    {"tanh", acb_tanh},
    {"coth", acb_coth},
    {"exp", acb_exp},
    {"ln", acb_log},
});

bool IsTrigonometric(std::string_view name) {
  for (const std::string_view known : {"sin", "cos", "tan", "cot", "sec", "csc"}) {
    if (name == known) return true;
  }
  return false;
}

const Unary* FindUnary(std::string_view name) {
  for (const auto& [known, function] : kUnary) {
    if (known == name) return &function;
  }
  return nullptr;
}

bool IsKnownFunction(std::string_view name) {
  if (FindUnary(name) != nullptr) return true;
  for (const std::string_view known : {"root", "log", "abs", "floor", "ceil", "factorial", "binom",
                                       "max", "min", "sgn", "Re", "Im"}) {
    if (name == known) return true;
  }
  return false;
}

// A tree as text, for terms that only stand for themselves.
void Describe(const Node& node, std::string& out) {
  out += static_cast<char>('a' + static_cast<int>(node.kind));
  out += node.name;
  if (node.kind == NodeKind::kNumber) out += node.number.get_str();
  out += '(';
  for (const NodePtr& child : node.children) {
    Describe(*child, out);
    out += ',';
  }
  out += ')';
}

class Evaluator {
 public:
  Evaluator(const BallPoint& point, int64_t bits) : point_(point), bits_(bits) {}

  bool Run(const Node& node, Ball& out) {
    return Evaluate(node, out) && acb_is_finite(out.Get()) != 0;
  }

 private:
  bool Evaluate(const Node& node, Ball& out) {
    switch (node.kind) {
      case NodeKind::kNumber:
        Rational(node.number, out);
        return true;
      case NodeKind::kSymbol:
        Random(node.name, out);
        return true;
      case NodeKind::kConstant:
        return Constant(node.name, out);
      case NodeKind::kPercent: {
        if (!Run(*node.children[0], out)) return false;
        acb_div_ui(out.Get(), out.Get(), 100, bits_);
        return true;
      }
      case NodeKind::kUnit:
        return Unit(node, out);
      case NodeKind::kFunction:
        return Function(node, out);
      case NodeKind::kAdd:
      case NodeKind::kMultiply:
      case NodeKind::kDivide:
      case NodeKind::kNegate:
      case NodeKind::kPower:
        return Operation(node, out);
      default:
        return false;
    }
  }

  void Rational(const mpq_class& value, Ball& out) const {
    fmpq_t rational;
    fmpq_init(rational);
    fmpq_set_mpq(rational, value.get_mpq_t());
    arb_set_fmpq(acb_realref(out.Get()), rational, bits_);
    arb_zero(acb_imagref(out.Get()));
    fmpq_clear(rational);
  }

  // Of varied size and sign, so that roots and logarithms are real at some points.
  void Random(std::string_view name, Ball& out) const {
    const uint64_t bits = XXH3_64bits_withSeed(name.data(), name.size(), point_.point);
    constexpr auto kScales = std::to_array<int>({1, 3, 8, 20, 100});
    const int scale = kScales[point_.point % kScales.size()];
    const int64_t numerator = 1 + static_cast<int64_t>(bits % 100'003) * scale;
    // Every second point is positive in all variables.
    const bool negative = point_.point % 2 == 1 && (bits >> 40) % 2 == 1;
    Rational(mpq_class(negative ? -numerator : numerator, 30'011), out);
  }

  bool Constant(const std::string& name, Ball& out) const {
    if (name == "pi") {
      acb_const_pi(out.Get(), bits_);
    } else if (name == "e") {
      acb_one(out.Get());
      acb_exp(out.Get(), out.Get(), bits_);
    } else if (name == "i") {
      acb_onei(out.Get());
    } else {
      return false;
    }
    return true;
  }

  bool Unit(const Node& node, Ball& out) {
    if (!Run(*node.children[0], out)) return false;
    if (node.name != "degree" || !in_trigonometric_) return true;
    Ball pi;
    acb_const_pi(pi.Get(), bits_);
    acb_mul(out.Get(), out.Get(), pi.Get(), bits_);
    acb_div_ui(out.Get(), out.Get(), 180, bits_);
    return true;
  }

  bool Operation(const Node& node, Ball& out) {
    if (!Run(*node.children[0], out)) return false;
    if (node.kind == NodeKind::kNegate) {
      acb_neg(out.Get(), out.Get());
      return true;
    }
    for (size_t i = 1; i < node.children.size(); ++i) {
      Ball operand;
      if (!Run(*node.children[i], operand)) return false;
      switch (node.kind) {
        case NodeKind::kAdd:
          acb_add(out.Get(), out.Get(), operand.Get(), bits_);
          break;
        case NodeKind::kMultiply:
          acb_mul(out.Get(), out.Get(), operand.Get(), bits_);
          break;
        case NodeKind::kDivide:
          acb_div(out.Get(), out.Get(), operand.Get(), bits_);
          break;
        default:
          acb_pow(out.Get(), out.Get(), operand.Get(), bits_);
          break;
      }
    }
    return true;
  }

  bool Function(const Node& node, Ball& out) {
    if (!IsKnownFunction(node.name)) {
      std::string term;
      Describe(node, term);
      Random(term, out);
      return true;
    }
    const bool outer =
        std::exchange(in_trigonometric_, in_trigonometric_ || IsTrigonometric(node.name));
    std::vector<Ball> arguments(node.children.size());
    bool known = !arguments.empty();
    for (size_t i = 0; i < arguments.size() && known; ++i) {
      known = Run(*node.children[i], arguments[i]);
    }
    in_trigonometric_ = outer;
    if (!known) return false;
    Ball& x = arguments[0];
    if (const Unary* const function = FindUnary(node.name)) {
      if (arguments.size() != 1) return false;
      (*function)(out.Get(), x.Get(), bits_);
      return true;
    }
    if (arguments.size() == 2) return Binary(node, x, arguments[1], out);
    if (arguments.size() != 1) return false;
    return Single(node.name, x, out);
  }

  bool Single(const std::string& name, Ball& x, Ball& out) {
    acb_zero(out.Get());
    if (name == "log") {
      acb_log(out.Get(), x.Get(), bits_);
    } else if (name == "abs") {
      acb_abs(acb_realref(out.Get()), x.Get(), bits_);
    } else if (name == "factorial") {
      acb_add_ui(x.Get(), x.Get(), 1, bits_);
      acb_gamma(out.Get(), x.Get(), bits_);
    } else if (name == "Re") {
      arb_set(acb_realref(out.Get()), acb_realref(x.Get()));
    } else if (name == "Im") {
      arb_set(acb_realref(out.Get()), acb_imagref(x.Get()));
    } else if (!acb_is_real(x.Get())) {
      return false;
    } else if (name == "floor") {
      arb_floor(acb_realref(out.Get()), acb_realref(x.Get()), bits_);
    } else if (name == "ceil") {
      arb_ceil(acb_realref(out.Get()), acb_realref(x.Get()), bits_);
    } else if (name == "sgn") {
      arb_sgn(acb_realref(out.Get()), acb_realref(x.Get()));
    } else {
      return false;
    }
    return true;
  }

  bool Binary(const Node& node, Ball& x, Ball& y, Ball& out) {
    acb_zero(out.Get());
    if (node.name == "root") return Root(x, *node.children[1], out);
    if (node.name == "log") {  // [argument, base]
      Ball denominator;
      acb_log(out.Get(), x.Get(), bits_);
      acb_log(denominator.Get(), y.Get(), bits_);
      acb_div(out.Get(), out.Get(), denominator.Get(), bits_);
      return true;
    }
    if (node.name == "binom") {
      // n! / (k! (n - k)!) by the gamma function.
      Ball k, rest;
      acb_sub(rest.Get(), x.Get(), y.Get(), bits_);
      for (Ball* const ball : {&x, &rest}) acb_add_ui(ball->Get(), ball->Get(), 1, bits_);
      acb_add_ui(k.Get(), y.Get(), 1, bits_);
      acb_gamma(out.Get(), x.Get(), bits_);
      acb_rgamma(k.Get(), k.Get(), bits_);
      acb_rgamma(rest.Get(), rest.Get(), bits_);
      acb_mul(out.Get(), out.Get(), k.Get(), bits_);
      acb_mul(out.Get(), out.Get(), rest.Get(), bits_);
      return true;
    }
    if (!acb_is_real(x.Get()) || !acb_is_real(y.Get())) return false;
    if (node.name == "max") {
      arb_max(acb_realref(out.Get()), acb_realref(x.Get()), acb_realref(y.Get()), bits_);
    } else if (node.name == "min") {
      arb_min(acb_realref(out.Get()), acb_realref(x.Get()), acb_realref(y.Get()), bits_);
    } else {
      return false;
    }
    return true;
  }

  // Odd roots of negative numbers are negative, as school has it; others are principal values.
  bool Root(const Ball& x, const Node& degree, Ball& out) const {
    if (degree.kind != NodeKind::kNumber || degree.number.get_den() != 1 || degree.number < 1 ||
        degree.number > 1'000'000) {
      return false;
    }
    const ulong n = degree.number.get_num().get_ui();
    if (n % 2 == 1 && acb_is_real(x.Get()) && arb_is_negative(acb_realref(x.Get()))) {
      acb_neg(out.Get(), x.Get());
      acb_root_ui(out.Get(), out.Get(), n, bits_);
      acb_neg(out.Get(), out.Get());
    } else {
      acb_root_ui(out.Get(), x.Get(), n, bits_);
    }
    return true;
  }

  const BallPoint& point_;
  const slong bits_;
  bool in_trigonometric_ = false;
};

}  // namespace

bool EvaluateBall(const Node& node, const BallPoint& point, int64_t bits, Ball& out) {
  return Evaluator(point, bits).Run(node, out);
}

bool DependsOnPoint(const Node& node) {
  if (node.kind == NodeKind::kSymbol) return true;
  if (node.kind == NodeKind::kFunction && !IsKnownFunction(node.name)) return true;
  return std::any_of(node.children.begin(), node.children.end(),
                     [](const NodePtr& child) { return DependsOnPoint(*child); });
}

}  // namespace ponder::math
