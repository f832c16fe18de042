#include <algorithm>
#include <array>

#include "verifiers/math/answer_parser.h"

namespace ponder::math {
namespace {

constexpr auto kGreek = std::to_array<std::string_view>(
    {"alpha", "beta",     "gamma", "delta",   "epsilon", "varepsilon", "zeta", "eta",
     "theta", "vartheta", "iota",  "kappa",   "lambda",  "mu",         "nu",   "xi",
     "rho",   "sigma",    "tau",   "upsilon", "phi",     "varphi",     "chi",  "psi",
     "omega", "Gamma",    "Delta", "Theta",   "Lambda",  "Xi",         "Pi",   "Sigma",
     "Phi",   "Psi",      "Omega", "ell",     "nabla",   "partial"});
constexpr auto kBigOperators = std::to_array<std::string_view>(
    {"sum", "prod", "int", "iint", "oint", "lim", "bigcup", "bigcap"});
constexpr auto kNamePrefixes =
    std::to_array<std::string_view>({"angle", "triangle", "measuredangle"});
constexpr auto kOperandCommands = std::to_array<std::string_view>(
    {"frac", "sqrt", "cbrt", "pi", "infty", "binom", "dbinom", "tbinom", "overline", "lfloor",
     "lceil", "lvert", "begin", "ldots"});
// Letters that, before parentheses with one simple argument, are functions rather than factors.
constexpr std::string_view kFunctionLetters = "fghFGHPQ";

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

// Whether a command may be the next factor without a sign between.
bool AnswerParser::StartsOperand(std::string_view command) {
  return IsFunctionName(command) || Has(kGreek, command) || Has(kBigOperators, command) ||
         Has(kNamePrefixes, command) || Has(kOperandCommands, command);
}

NodePtr AnswerParser::Command() {
  const std::string name = Peek().text;
  if (name == "frac") return Fraction();
  if (name == "binom" || name == "dbinom" || name == "tbinom") return Binomial();
  if (name == "sqrt" || name == "cbrt") return Root();
  if (name == "pi") return Next(), Make(NodeKind::kConstant, {}, "pi");
  if (name == "infty") return Next(), Make(NodeKind::kConstant, {}, "infinity");
  if (name == "ldots") return Next(), Make(NodeKind::kEllipsis, {});
  if (name == "emptyset" || name == "varnothing")
    return Next(), Make(NodeKind::kNamedSet, {}, "empty");
  if (name == "mathbb" || name == "Bbb") return NamedSet();
  if (name == "R") return Next(), Make(NodeKind::kNamedSet, {}, "R");
  if (name == "lfloor") return Enclosed("rfloor", "floor");
  if (name == "lceil") return Enclosed("rceil", "ceil");
  if (name == "lvert" || name == "vert") return Enclosed(name == "vert" ? "vert" : "rvert", "abs");
  if (name == "langle") return Angle();
  if (name == "begin") return Matrix();
  if (name == "overline") return Overline();
  if (Has(kNamePrefixes, name)) return Prefixed();
  if (Has(kBigOperators, name)) return BigOperator();
  if (Has(kGreek, name)) {
    Next();
    return Named(name + Subscript());
  }
  if (IsFunctionName(name)) return Function();
  return Fail(fmt::format("\\{} is not known", name));
}

// The operand of \frac, \binom: a group, or one digit or letter.
NodePtr AnswerParser::Argument() {
  if (Peek().kind == TokenKind::kNumber) {
    Token& token = tokens_[at_];
    if (token.text.size() == 1) return NumberNode(Next().text);
    NodePtr digit = NumberNode(token.text.substr(0, 1));
    token.text.erase(0, 1);
    return digit;
  }
  return Primary();
}

NodePtr AnswerParser::Fraction() {
  Next();
  NodePtr numerator = Argument();
  if (numerator == nullptr) return nullptr;
  NodePtr denominator = Argument();
  if (denominator == nullptr) return nullptr;
  return Make(NodeKind::kDivide, {std::move(numerator), std::move(denominator)}, "frac");
}

NodePtr AnswerParser::Binomial() {
  Next();
  if (Peek().IsSign('(')) {  // "binom(10, 3)" of plain text
    const NodePtr arguments = Bracketed();
    if (arguments == nullptr) return nullptr;
    if (arguments->kind != NodeKind::kBracketed || arguments->children.size() != 2)
      return Fail("binom takes two arguments");
    return Make(NodeKind::kFunction, arguments->children, "binom");
  }
  NodePtr upper = Argument();
  if (upper == nullptr) return nullptr;
  NodePtr lower = Argument();
  if (lower == nullptr) return nullptr;
  return Make(NodeKind::kFunction, {std::move(upper), std::move(lower)}, "binom");
}

// [radicand, degree]
NodePtr AnswerParser::Root() {
  const bool cube = Next().text == "cbrt";
  NodePtr degree = MakeNumber(cube ? 3 : 2);
  if (Peek().IsSign('[')) {
    degree = Bracketed();
    if (degree == nullptr) return nullptr;
  }
  NodePtr radicand = Primary();
  if (radicand == nullptr) return nullptr;
  return Make(NodeKind::kFunction, {std::move(radicand), std::move(degree)}, "root");
}

// A line segment's name; conjugates and means are no part of an answer here.
NodePtr AnswerParser::Overline() {
  Next();
  NodePtr inside = Primary();
  if (inside == nullptr) return nullptr;
  return Make(NodeKind::kFunction, {std::move(inside)}, "overline");
}

NodePtr AnswerParser::Prefixed() {
  std::string name = Next().text;
  while (Peek().kind == TokenKind::kName) name += " " + Next().text;
  return Make(NodeKind::kSymbol, {}, name + Subscript());
}

// A sum, integral or limit is not worked out: its parts are compared as they stand.
NodePtr AnswerParser::BigOperator() {
  const std::string name = Next().text;
  std::vector<NodePtr> parts;
  while (Peek().IsSign('_') || Peek().IsSign('^')) {
    Next();
    NodePtr bound = Peek().IsSign('{') ? Group() : Argument();
    if (bound == nullptr) return nullptr;
    parts.push_back(std::move(bound));
  }
  NodePtr body = Product();
  if (body == nullptr) return nullptr;
  parts.push_back(std::move(body));
  return Make(NodeKind::kFunction, std::move(parts), name);
}

NodePtr AnswerParser::Function() {
  std::string name = Next().text;
  NodePtr base, power;
  while (Peek().IsSign('_') || Peek().IsSign('^')) {
    const bool lower = Next().IsSign('_');
    NodePtr script = lower ? Argument() : Exponent();
    if (script == nullptr) return nullptr;
    (lower ? base : power) = std::move(script);
  }
  std::vector<NodePtr> arguments;
  if (Peek().IsSign('(') || Peek().IsSign('[')) {
    const NodePtr bracketed = Bracketed();
    if (bracketed == nullptr) return nullptr;
    arguments = bracketed->kind == NodeKind::kBracketed ? bracketed->children
                                                        : std::vector<NodePtr>{bracketed};
  } else {
    NodePtr argument = OpenArgument();
    if (argument == nullptr) return nullptr;
    arguments = {std::move(argument)};
  }
  if (base != nullptr) arguments.push_back(std::move(base));
  if (name == "lg") name = "log", arguments.push_back(MakeNumber(10));
  if (name.size() == 4 && name[0] == 'a' && name != "acos") name.insert(1, "rc");
  if (name == "acos") name = "arccos";
  // \sin^{-1} is the inverse function, not the reciprocal.
  const bool inverse = power != nullptr && power->kind == NodeKind::kNegate &&
                       IsWholeNumber(*power->children[0]) && power->children[0]->number == 1 &&
                       (name == "sin" || name == "cos" || name == "tan" || name == "cot");
  if (inverse) {
    name = "arc" + name;
    power = nullptr;
  }
  NodePtr value = Make(NodeKind::kFunction, std::move(arguments), std::move(name));
  if (power == nullptr) return value;
  return Make(NodeKind::kPower, {std::move(value), std::move(power)});
}

// "\sin 2x", "\log 5": factors up to a sign or the next function.
NodePtr AnswerParser::OpenArgument() {
  const Deeper deeper(*this);
  if (deeper.TooDeep()) return Fail("it is nested too deeply");
  if (Take('-')) {
    NodePtr operand = OpenArgument();
    if (operand == nullptr) return nullptr;
    return Make(NodeKind::kNegate, {std::move(operand)});
  }
  std::vector<NodePtr> factors = {Power()};
  while (factors.back() != nullptr && StartsFactor() && !IsFunctionName(Peek().text) &&
         !Peek().IsSign('(') && !Peek().IsSign('[') && !Peek().IsSign('|')) {
    Attach(factors, Power());
  }
  return factors.back() == nullptr ? nullptr : Total(factors);
}

// What a subscript says, as part of a name.
std::string AnswerParser::Subscript() {
  std::string name;
  while (Peek().IsSign('_')) {
    Next();
    name += "_";
    if (!Peek().IsSign('{')) {
      name += Next().text;
      continue;
    }
    int64_t depth = 0;
    do {
      const Token& token = Next();
      if (token.IsSign('{'))
        ++depth;
      else if (token.IsSign('}'))
        --depth;
      else
        name += token.text;
    } while (depth > 0 && Peek().kind != TokenKind::kEnd);
  }
  while (Take('\'')) name += "'";
  return name;
}

NodePtr AnswerParser::Symbol() {
  std::string name = Next().text;
  if (Peek().IsSign('_') || Peek().IsSign('\'')) return Named(name + Subscript());
  if (name == "i" || name == "e") return Make(NodeKind::kConstant, {}, name);
  return Named(std::move(name));
}

// A symbol, or a function's value where it stands before one argument or more.
NodePtr AnswerParser::Named(std::string name) {
  const bool letter = kFunctionLetters.find(name[0]) != std::string_view::npos &&
                      (name.size() == 1 || name[1] == '_' || name[1] == '\'');
  if (letter && Peek().IsSign('(')) {
    const NodePtr arguments = Bracketed();
    if (arguments == nullptr) return nullptr;
    if (arguments->kind == NodeKind::kBracketed)
      return Make(NodeKind::kFunction, arguments->children, std::move(name));
    return Make(NodeKind::kFunction, {arguments}, std::move(name));
  }
  return Make(NodeKind::kSymbol, {}, std::move(name));
}

}  // namespace ponder::math
