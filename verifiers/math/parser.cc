#include "verifiers/math/parser.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <optional>

#include "verifiers/math/digit_groups.h"
#include "verifiers/math/lexer.h"
#include "verifiers/math/plain_text.h"

namespace ponder::math {
namespace {

constexpr size_t kMostDigits = 100'000;
constexpr int64_t kMostListItems = 1000;

mpz_class PowerOfTen(uint64_t exponent) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, exponent);
  return power;
}

// "12", "0.5", ".4", "0.1(6)".
NodePtr NumberNode(std::string_view text) {
  const size_t repeat = text.find('(');
  const std::string_view fixed = text.substr(0, repeat);
  const size_t point = fixed.find('.');
  std::string digits(fixed.substr(0, point));
  int64_t decimals = -1;
  if (point != std::string_view::npos) {
    digits += fixed.substr(point + 1);
    decimals = static_cast<int64_t>(fixed.size() - point - 1);
  }
  mpq_class value(mpz_class(digits.empty() ? "0" : digits, 10),
                  PowerOfTen(static_cast<uint64_t>(std::max<int64_t>(decimals, 0))));
  value.canonicalize();
  if (repeat != std::string_view::npos) {
    const std::string_view period = text.substr(repeat + 1, text.size() - repeat - 2);
    mpq_class tail(mpz_class(std::string(period), 10), PowerOfTen(period.size()) - 1);
    tail.canonicalize();
    value += tail / PowerOfTen(static_cast<uint64_t>(std::max<int64_t>(decimals, 0)));
    decimals = -1;  // exact
  }
  return MakeNumber(std::move(value), decimals);
}

bool IsWholeNumber(const Node& node) {
  return node.kind == NodeKind::kNumber && node.decimals < 0 && node.number.get_den() == 1;
}

std::optional<Relation> RelationOf(const Token& token) {
  constexpr auto kSigns = std::to_array<std::pair<char, Relation>>(
      {{'=', Relation::kEqual}, {'<', Relation::kLess}, {'>', Relation::kGreater}});
  constexpr auto kCommands = std::to_array<std::pair<std::string_view, Relation>>({
      {"le", Relation::kLessEqual},
      {"leq", Relation::kLessEqual},
      {"leqslant", Relation::kLessEqual},
      {"leqq", Relation::kLessEqual},
      {"ge", Relation::kGreaterEqual},
      {"geq", Relation::kGreaterEqual},
      {"geqslant", Relation::kGreaterEqual},
      {"geqq", Relation::kGreaterEqual},
      {"ne", Relation::kNotEqual},
      {"neq", Relation::kNotEqual},
      {"approx", Relation::kNear},
      {"sim", Relation::kNear},
      {"simeq", Relation::kNear},
      {"cong", Relation::kNear},
      {"in", Relation::kIn},
      {"equiv", Relation::kEqual},
      {"equals", Relation::kEqual},
      {"doteq", Relation::kNear},
  });
  if (token.kind == TokenKind::kSign) {
    for (const auto& [sign, relation] : kSigns) {
      if (token.text[0] == sign) return relation;
    }
  }
  if (token.kind == TokenKind::kCommand) {
    for (const auto& [name, relation] : kCommands) {
      if (token.text == name) return relation;
    }
  }
  return std::nullopt;
}

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
// Letters that, before parentheses with one simple argument, are functions rather than factors.
constexpr std::string_view kFunctionLetters = "fghFGHPQ";

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Pratt's way by hand: one function a level of binding. A failure leaves a message in `problem_`
// and a null pointer, which every caller hands on.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<NodePtr> Run() {
    if (Peek().kind == TokenKind::kEnd) return InvalidArgument("it is empty");
    NodePtr node = List();
    while (node != nullptr && (Peek().IsSign('.') || Peek().IsSign(','))) Next();
    if (node != nullptr && Peek().kind != TokenKind::kEnd) {
      node = Fail(fmt::format("nothing was expected where {} stands", Shown(Peek())));
    }
    if (node == nullptr) return InvalidArgument("{}", problem_);
    return node;
  }

 private:
  const Token& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token& Next() {
    Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  static std::string Shown(const Token& token) {
    if (token.kind == TokenKind::kEnd) return "the end";
    return fmt::format("\"{}{}\"", token.kind == TokenKind::kCommand ? "\\" : "", token.text);
  }
  NodePtr Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return nullptr;
  }
  NodePtr Bounded(Node node) {
    NodePtr shared = Share(std::move(node));
    return shared->depth > kMaxDepth ? Fail("it is nested too deeply") : shared;
  }
  NodePtr Make(NodeKind kind, std::vector<NodePtr> children, std::string name = "") {
    return Bounded({.kind = kind, .name = std::move(name), .children = std::move(children)});
  }
  bool Take(char sign) {
    if (!Peek().IsSign(sign)) return false;
    Next();
    return true;
  }

  // Guards the recursion; every cycle of calls passes one.
  class Deeper {
   public:
    explicit Deeper(Parser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Deeper() { --parser_.depth_; }
    bool TooDeep() const { return parser_.depth_ > kMaxDepth; }

   private:
    Parser& parser_;
  };

  // The separator at the current place, taken: "and" or "or" where one of these words was among it.
  bool Separator(std::string& word) {
    bool any = false;
    for (;; Next()) {
      const Token& token = Peek();
      if (token.IsCommand("and") || token.IsCommand("or") || token.IsCommand("lor") ||
          token.IsCommand("land") || token.IsCommand("vee") || token.IsCommand("wedge")) {
        const bool either = token.text == "or" || token.text == "lor" || token.text == "vee";
        word = either ? "or" : "and";
      } else if (!token.IsSign(',') && !token.IsSign(';') && !token.IsCommand("quad")) {
        return any;
      }
      any = true;
    }
  }

  bool AtEndOfList() const {
    const Token& token = Peek();
    return token.kind == TokenKind::kEnd || token.kind == TokenKind::kCloseSet ||
           token.kind == TokenKind::kRow || token.IsSign(')') || token.IsSign(']') ||
           token.IsSign('}') || token.IsSign('&') || token.IsSign('.') || token.IsCommand("end") ||
           token.IsCommand("rangle");
  }

  // Items behind one another; one item is itself.
  NodePtr List() {
    const Deeper deeper(*this);
    if (deeper.TooDeep()) return Fail("it is nested too deeply");
    std::vector<NodePtr> items;
    std::string word;
    while (Peek().IsCommand("quad")) Next();
    do {
      NodePtr item = Chain();
      if (item == nullptr) return nullptr;
      items.push_back(std::move(item));
      if (static_cast<int64_t>(items.size()) > kMostListItems) return Fail("the list is too long");
    } while (Separator(word) && !AtEndOfList());
    if (items.size() == 1) return items[0];
    return Make(NodeKind::kList, std::move(items), word);
  }

  NodePtr Chain() {
    NodePtr first = Unions();
    if (first == nullptr) return nullptr;
    std::vector<NodePtr> operands = {std::move(first)};
    std::vector<Relation> relations;
    while (const std::optional<Relation> relation = RelationOf(Peek())) {
      Next();
      // "\ne" may be written "= /", which nobody does; "< =" and "> =" are.
      Relation joined = *relation;
      if (Peek().IsSign('=') && joined == Relation::kLess) Next(), joined = Relation::kLessEqual;
      if (Peek().IsSign('=') && joined == Relation::kGreater)
        Next(), joined = Relation::kGreaterEqual;
      NodePtr operand = Unions();
      if (operand == nullptr) return nullptr;
      relations.push_back(joined);
      operands.push_back(std::move(operand));
    }
    if (relations.empty()) return operands[0];
    return Bounded({.kind = NodeKind::kRelation,
                    .children = std::move(operands),
                    .relations = std::move(relations)});
  }

  NodePtr Unions() {
    NodePtr left = Ratio();
    while (left != nullptr) {
      const Token& token = Peek();
      const NodeKind kind = token.IsCommand("cup")   ? NodeKind::kUnion
                            : token.IsCommand("cap") ? NodeKind::kIntersection
                            : token.IsCommand("setminus") || token.IsCommand("backslash")
                                ? NodeKind::kDifference
                                : NodeKind::kNumber;
      if (kind == NodeKind::kNumber) return left;
      Next();
      NodePtr right = Ratio();
      if (right == nullptr) return nullptr;
      left = Make(kind, {std::move(left), std::move(right)});
    }
    return left;
  }

  NodePtr Ratio() {
    NodePtr first = Sum();
    if (first == nullptr || no_colon_ || !Peek().IsSign(':')) return first;
    std::vector<NodePtr> parts = {std::move(first)};
    while (Take(':')) {
      NodePtr part = Sum();
      if (part == nullptr) return nullptr;
      parts.push_back(std::move(part));
    }
    return Make(NodeKind::kRatio, std::move(parts));
  }

  NodePtr Sum() {
    std::vector<NodePtr> terms;
    const auto total = [&] {
      return terms.size() == 1 ? terms[0] : Make(NodeKind::kAdd, std::move(terms));
    };
    NodePtr term = Product();
    while (term != nullptr) {
      terms.push_back(std::move(term));
      if (Take('+')) {
        term = Product();
      } else if (Take('-')) {
        term = Product();
        if (term != nullptr) term = Make(NodeKind::kNegate, {std::move(term)});
      } else if (Peek().IsCommand("pm") || Peek().IsCommand("mp")) {
        const std::string name = Next().text == "pm" ? "+-" : "-+";
        term = Joined(NodeKind::kPlusMinus, total(), Product(), name);
        terms.clear();
      } else if (Peek().IsCommand("pmod") || Peek().IsCommand("mod") || Peek().IsCommand("bmod")) {
        Next();
        term = Joined(NodeKind::kFunction, total(), Product(), "mod");
        terms.clear();
      } else {
        return total();
      }
    }
    return nullptr;
  }

  // Null where one of the two is.
  NodePtr Joined(NodeKind kind, NodePtr left, NodePtr right, const std::string& name = "") {
    if (left == nullptr || right == nullptr) return nullptr;
    return Make(kind, {std::move(left), std::move(right)}, name);
  }

  bool StartsFactor() const {
    const Token& token = Peek();
    switch (token.kind) {
      case TokenKind::kName:
      case TokenKind::kOpenSet:
        return true;
      case TokenKind::kNumber:
        return false;  // "x 2" is no product; mixed numbers are read elsewhere
      case TokenKind::kSign:
        return token.text[0] == '(' || token.text[0] == '[' || token.text[0] == '{' ||
               (token.text[0] == '|' && bars_ == 0);
      case TokenKind::kCommand:
        return IsFunctionName(token.text) || Has(kGreek, token.text) ||
               Has(kBigOperators, token.text) || Has(kNamePrefixes, token.text) ||
               token.text == "frac" || token.text == "sqrt" || token.text == "cbrt" ||
               token.text == "pi" || token.text == "infty" || token.text == "binom" ||
               token.text == "dbinom" || token.text == "tbinom" || token.text == "overline" ||
               token.text == "lfloor" || token.text == "lceil" || token.text == "lvert" ||
               token.text == "begin" || token.text == "ldots";
      default:
        return false;
    }
  }

  NodePtr Product() {
    const Deeper deeper(*this);
    if (deeper.TooDeep()) return Fail("it is nested too deeply");
    std::vector<NodePtr> factors = {Unary()};
    while (factors.back() != nullptr) {
      if (Take('*')) {
        factors.push_back(Unary());
      } else if (Take('/')) {
        factors = {Joined(NodeKind::kDivide, Total(factors), Unary())};
      } else if (Peek().kind == TokenKind::kText) {
        NodePtr quantity = Total(factors);
        if (quantity == nullptr) return nullptr;
        factors = {Make(NodeKind::kUnit, {std::move(quantity)}, UnitWords())};
      } else if (StartsFactor()) {
        Attach(factors, Power());
      } else if (IsMixedStart(*factors.back()) && Peek().kind == TokenKind::kNumber &&
                 Peek(1).IsSign('/') && Peek(2).kind == TokenKind::kNumber) {
        // "2 1/2"
        const NodePtr numerator = NumberNode(Next().text);
        Next();
        const NodePtr denominator = NumberNode(Next().text);
        Attach(factors, Make(NodeKind::kDivide, {numerator, denominator}, "frac"));
      } else {
        return Total(factors);
      }
    }
    return nullptr;
  }

  NodePtr Total(const std::vector<NodePtr>& factors) {
    return factors.size() == 1 ? factors[0] : Make(NodeKind::kMultiply, factors);
  }

  static bool IsMixedStart(const Node& node) {
    return IsWholeNumber(node) ||
           (node.kind == NodeKind::kNegate && IsWholeNumber(*node.children[0]));
  }

  // The next factor without a sign between. A whole number before a fraction of whole numbers is a
  // mixed number; -3\frac{1}{2} is its negative.
  void Attach(std::vector<NodePtr>& factors, NodePtr next) {
    NodePtr& last = factors.back();
    const bool fraction = next != nullptr && next->kind == NodeKind::kDivide &&
                          next->name == "frac" && IsWholeNumber(*next->children[0]) &&
                          IsWholeNumber(*next->children[1]);
    if (!fraction || !IsMixedStart(*last)) {
      factors.push_back(std::move(next));
    } else if (IsWholeNumber(*last)) {
      last = Make(NodeKind::kAdd, {last, std::move(next)});
    } else {
      last = Make(NodeKind::kNegate, {Make(NodeKind::kAdd, {last->children[0], std::move(next)})});
    }
  }

  // "km/h", "square miles", "cm^2", "m per s"
  std::string UnitWords() {
    std::string words;
    for (;;) {
      if (Peek().kind == TokenKind::kText) {
        words += (words.empty() ? "" : " ") + absl::AsciiStrToLower(Next().text);
      } else if (Peek().IsSign('^') && Peek(1).kind == TokenKind::kNumber) {
        Next();
        words += "^" + Next().text;
      } else if (Peek().IsSign('^') && Peek(1).IsSign('{') && Peek(2).kind == TokenKind::kNumber &&
                 Peek(3).IsSign('}')) {
        words += "^" + Peek(2).text;
        for (int i = 0; i < 4; ++i) Next();
      } else if (Peek().IsSign('/') &&
                 (Peek(1).kind == TokenKind::kText || Peek(1).kind == TokenKind::kName)) {
        Next();
        words += "/" + Next().text;
      } else {
        return words;
      }
    }
  }

  NodePtr Unary() {
    const Deeper deeper(*this);
    if (deeper.TooDeep()) return Fail("it is nested too deeply");
    if (Take('+')) return Unary();
    if (Take('-')) {
      NodePtr operand = Unary();
      if (operand == nullptr) return nullptr;
      return Make(NodeKind::kNegate, {std::move(operand)});
    }
    if (Peek().IsCommand("pm") || Peek().IsCommand("mp")) {
      const std::string name = Next().text == "pm" ? "+-" : "-+";
      NodePtr operand = Unary();
      if (operand == nullptr) return nullptr;
      return Make(NodeKind::kPlusMinus, {std::move(operand)}, name);
    }
    return Power();
  }

  NodePtr Power() {
    const Deeper deeper(*this);
    if (deeper.TooDeep()) return Fail("it is nested too deeply");
    NodePtr base = Postfix(Primary());
    if (base == nullptr) return nullptr;
    if (!Peek().IsSign('^') && !Peek().IsCommand("power")) return base;
    Next();
    NodePtr exponent = Exponent();
    if (exponent == nullptr) return nullptr;
    return Postfix(Make(NodeKind::kPower, {std::move(base), std::move(exponent)}));
  }

  NodePtr Exponent() {
    if (Take('+')) return Exponent();
    if (Take('-')) {
      NodePtr operand = Power();
      if (operand == nullptr) return nullptr;
      return Make(NodeKind::kNegate, {std::move(operand)});
    }
    return Power();
  }

  // Behind an operand: factorials, percent signs, degrees.
  NodePtr Postfix(NodePtr node) {
    while (node != nullptr) {
      if (Peek().IsSign('!')) {
        Next();
        node = Make(NodeKind::kFunction, {std::move(node)}, "factorial");
      } else if (Peek().IsSign('%')) {
        Next();
        node = Make(NodeKind::kPercent, {std::move(node)});
      } else if (Peek().IsCommand("degree")) {
        Next();
        node = Make(NodeKind::kUnit, {std::move(node)}, "degree");
      } else if (Peek().IsSign('^') && Peek(1).IsCommand("circ")) {
        Next(), Next();
        node = Make(NodeKind::kUnit, {std::move(node)}, "degree");
      } else if (Peek().IsSign('^') && Peek(1).IsSign('{') && Peek(2).IsCommand("circ") &&
                 Peek(3).IsSign('}')) {
        for (int i = 0; i < 4; ++i) Next();
        node = Make(NodeKind::kUnit, {std::move(node)}, "degree");
      } else if (Peek().IsCommand("degree") || Peek().IsCommand("circ")) {
        Next();
        node = Make(NodeKind::kUnit, {std::move(node)}, "degree");
      } else {
        return node;
      }
    }
    return node;
  }

  NodePtr Primary() {
    const Deeper deeper(*this);
    if (deeper.TooDeep()) return Fail("it is nested too deeply");
    const Token& token = Peek();
    switch (token.kind) {
      case TokenKind::kNumber:
        return Number();
      case TokenKind::kName:
        return Symbol();
      case TokenKind::kOpenSet:
        return Set();
      case TokenKind::kCommand:
        return Command();
      case TokenKind::kSign:
        if (token.IsSign('(') || token.IsSign('[')) return Bracketed();
        if (token.IsSign('{')) return Group();
        if (token.IsSign('|')) return Absolute();
        break;
      default:
        break;
    }
    return Fail(fmt::format("an operand was expected where {} stands", Shown(token)));
  }

  NodePtr Number() {
    const std::string text = Next().text;
    if (text.size() > kMostDigits) return Fail("the number has too many digits");
    if (Peek().IsSign('_')) return InBase(text);
    // "4.5e33", also "4.5E-3": the lexer leaves the letter and the exponent as they are.
    const bool exponent_letter =
        Peek().kind == TokenKind::kName && (Peek().text == "e" || Peek().text == "E");
    if (exponent_letter && !Peek().space_before) {
      const size_t sign = Peek(1).IsSign('-') || Peek(1).IsSign('+') ? 1 : 0;
      const Token& digits = Peek(1 + sign);
      if (digits.kind == TokenKind::kNumber && !digits.space_before && digits.text.size() <= 5 &&
          digits.text.find_first_not_of("0123456789") == std::string::npos) {
        const bool negative = Peek(1).IsSign('-');
        NodePtr power = MakeNumber(mpq_class(mpz_class(digits.text, 10)));
        for (size_t i = 0; i < 2 + sign; ++i) Next();
        if (negative) power = Make(NodeKind::kNegate, {std::move(power)});
        return Make(NodeKind::kMultiply,
                    {NumberNode(text), Make(NodeKind::kPower, {MakeNumber(10), std::move(power)})});
      }
    }
    return NumberNode(text);
  }

  // 204_5, 1011_{2}
  NodePtr InBase(const std::string& digits) {
    const bool grouped = Peek(1).IsSign('{');
    const Token& base_token = Peek(grouped ? 2 : 1);
    int base = 0;
    if (base_token.kind == TokenKind::kNumber && base_token.text.size() <= 2 &&
        base_token.text.find('.') == std::string::npos && (!grouped || Peek(3).IsSign('}'))) {
      base = std::stoi(base_token.text);
    }
    mpz_class value;
    if (base < 2 || base > 36 || digits.find('.') != std::string::npos ||
        value.set_str(digits, base) != 0) {
      return Fail("a number with a subscript is not in that base");
    }
    for (int i = 0; i < (grouped ? 4 : 2); ++i) Next();
    return MakeNumber(mpq_class(value));
  }

  // What a subscript says, as part of a name.
  std::string Subscript() {
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

  NodePtr Symbol() {
    std::string name = Next().text;
    if (Peek().IsSign('_') || Peek().IsSign('\'')) return Named(name + Subscript());
    if (name == "i" || name == "e") return Make(NodeKind::kConstant, {}, name);
    return Named(std::move(name));
  }

  // A symbol, or a function's value where it stands before one argument or more.
  NodePtr Named(std::string name) {
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

  // ( ... ), [ ... ], also half-open. One item between equal brackets is the item.
  NodePtr Bracketed() {
    const char open = Next().text[0];
    const bool outer_colon = std::exchange(no_colon_, false);
    const int64_t outer_bars = std::exchange(bars_, 0);
    Node node{.kind = NodeKind::kBracketed, .open = open};
    if (!Peek().IsSign(')') && !Peek().IsSign(']')) {
      NodePtr items = List();
      if (items == nullptr) return nullptr;
      node.children =
          items->kind == NodeKind::kList ? items->children : std::vector<NodePtr>{items};
    }
    no_colon_ = outer_colon;
    bars_ = outer_bars;
    if (!Peek().IsSign(')') && !Peek().IsSign(']')) return Fail("a bracket is never closed");
    node.close = Next().text[0];
    if (node.children.size() == 1) return node.children[0];
    return Bounded(std::move(node));
  }

  // A TeX group: its content; with commas a set, as people who forget the backslash mean it.
  NodePtr Group() {
    Next();
    if (Take('}')) return Fail("an empty group");
    const int64_t outer_bars = std::exchange(bars_, 0);
    NodePtr items = List();
    if (items != nullptr && Peek().IsCommand("choose")) {
      Next();
      NodePtr lower = List();
      if (lower == nullptr) return nullptr;
      items = Make(NodeKind::kFunction, {std::move(items), std::move(lower)}, "binom");
    }
    if (items == nullptr) return nullptr;
    bars_ = outer_bars;
    if (!Take('}')) return Fail("a group is never closed");
    if (items->kind == NodeKind::kList) return Make(NodeKind::kSet, items->children, "group");
    return items;
  }

  NodePtr Set() {
    Next();
    if (Peek().kind == TokenKind::kCloseSet) {
      Next();
      return Make(NodeKind::kNamedSet, {}, "empty");
    }
    const bool outer_colon = std::exchange(no_colon_, true);
    const int64_t outer_bars = std::exchange(bars_, 1);  // a bar here means "such that"
    NodePtr items = List();
    if (items == nullptr) return nullptr;
    no_colon_ = outer_colon;
    bars_ = outer_bars;
    if (Peek().IsSign('|') || Peek().IsSign(':') || Peek().IsCommand("mid")) {
      Next();
      NodePtr condition = List();
      if (condition == nullptr) return nullptr;
      if (Peek().kind != TokenKind::kCloseSet) return Fail("a set is never closed");
      Next();
      return Make(NodeKind::kSetBuilder, {std::move(items), std::move(condition)});
    }
    if (Peek().kind != TokenKind::kCloseSet) return Fail("a set is never closed");
    Next();
    if (items->kind == NodeKind::kList) return Make(NodeKind::kSet, items->children);
    return Make(NodeKind::kSet, {std::move(items)});
  }

  NodePtr Absolute() {
    Next();
    const int64_t outer_bars = std::exchange(bars_, 1);
    NodePtr inside = Sum();
    bars_ = outer_bars;
    if (inside == nullptr) return nullptr;
    if (!Take('|')) return Fail("a bar is never closed");
    return Make(NodeKind::kFunction, {std::move(inside)}, "abs");
  }

  // The operand of \frac, \binom: a group, or one digit or letter.
  NodePtr Argument() {
    if (Peek().kind == TokenKind::kNumber && !Peek().IsSign('{')) {
      Token& token = tokens_[at_];
      if (token.text.size() == 1) return NumberNode(Next().text);
      NodePtr digit = NumberNode(token.text.substr(0, 1));
      token.text.erase(0, 1);
      return digit;
    }
    return Primary();
  }

  NodePtr Enclosed(std::string_view close, const std::string& function) {
    Next();
    const bool outer_colon = std::exchange(no_colon_, false);
    const int64_t outer_bars = std::exchange(bars_, 0);
    NodePtr inside = Sum();
    no_colon_ = outer_colon;
    bars_ = outer_bars;
    if (inside == nullptr) return nullptr;
    if (!Peek().IsCommand(close)) return Fail("a bracket is never closed");
    Next();
    return Make(NodeKind::kFunction, {std::move(inside)}, function);
  }

  NodePtr Command() {
    const std::string name = Peek().text;
    if (name == "frac") {
      Next();
      NodePtr numerator = Argument();
      if (numerator == nullptr) return nullptr;
      NodePtr denominator = Argument();
      if (denominator == nullptr) return nullptr;
      return Make(NodeKind::kDivide, {std::move(numerator), std::move(denominator)}, "frac");
    }
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
    if (name == "lvert" || name == "vert")
      return Enclosed(name == "vert" ? "vert" : "rvert", "abs");
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

  NodePtr Binomial() {
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
  NodePtr Root() {
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

  NodePtr NamedSet() {
    Next();
    const bool grouped = Take('{');
    const Token& letter = Next();
    if (letter.kind != TokenKind::kName || letter.text.size() != 1 ||
        std::string_view("RQZNC").find(letter.text[0]) == std::string_view::npos ||
        (grouped && !Peek().IsSign('}'))) {
      return Fail("\\mathbb is known with R, Q, Z, N and C");
    }
    const std::string name = letter.text;
    if (grouped) Next();
    return Make(NodeKind::kNamedSet, {}, name);
  }

  NodePtr Angle() {
    Next();
    NodePtr items = List();
    if (items == nullptr) return nullptr;
    if (!Peek().IsCommand("rangle")) return Fail("\\langle is never closed");
    Next();
    Node node{.kind = NodeKind::kBracketed, .open = '<', .close = '>'};
    node.children = items->kind == NodeKind::kList ? items->children : std::vector<NodePtr>{items};
    return Bounded(std::move(node));
  }

  // A line segment's name; conjugates and means are no part of an answer here.
  NodePtr Overline() {
    Next();
    NodePtr inside = Primary();
    if (inside == nullptr) return nullptr;
    return Make(NodeKind::kFunction, {std::move(inside)}, "overline");
  }

  NodePtr Prefixed() {
    std::string name = Next().text;
    while (Peek().kind == TokenKind::kName) name += " " + Next().text;
    return Make(NodeKind::kSymbol, {}, name + Subscript());
  }

  // A sum, integral or limit is not worked out: its parts are compared as they stand.
  NodePtr BigOperator() {
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

  NodePtr Function() {
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
  NodePtr OpenArgument() {
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

  NodePtr Matrix() {
    Next();
    std::string environment;
    if (!Take('{')) return Fail("\\begin without a name");
    while (!Peek().IsSign('}')) {
      if (Peek().kind == TokenKind::kEnd) return Fail("\\begin without a name");
      environment += Next().text;
    }
    Next();
    const bool array = environment == "array";
    if (!array && !environment.ends_with("matrix"))
      return Fail(fmt::format("the environment \"{}\" is no matrix", environment));
    if (array && Peek().IsSign('{')) {
      while (!Peek().IsSign('}') && Peek().kind != TokenKind::kEnd) Next();
      Next();
    }
    Node node{.kind = NodeKind::kMatrix};
    if (environment == "vmatrix") node.name = "det";
    int64_t columns = 0;
    while (!Peek().IsCommand("end")) {
      NodePtr entry = Sum();
      if (entry == nullptr) return nullptr;
      node.children.push_back(std::move(entry));
      ++columns;
      if (Take('&')) continue;
      if (Peek().kind == TokenKind::kRow) {
        Next();
      } else if (!Peek().IsCommand("end")) {
        return Fail(fmt::format("a matrix entry ends with {}", Shown(Peek())));
      }
      if (node.columns != 0 && node.columns != columns)
        return Fail("the matrix has rows of unequal length");
      node.columns = columns;
      columns = 0;
    }
    Next();
    if (!Take('{')) return Fail("\\end without a name");
    while (!Take('}')) {
      if (Peek().kind == TokenKind::kEnd) return Fail("\\end without a name");
      Next();
    }
    if (node.children.empty() || node.columns == 0) return Fail("the matrix is empty");
    return Bounded(std::move(node));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int64_t depth_ = 0;
  int64_t bars_ = 0;       // inside |...| a bar closes
  bool no_colon_ = false;  // in a set a colon means "such that"
  std::string problem_;
};

// Letters only, with the punctuation of prose: "(C)", "Yes", "The midpoints form a hexagon".
NodePtr TextNode(std::string_view cleaned) {
  std::string words;
  bool letters = false;
  for (const char c : cleaned) {
    if (absl::ascii_isalpha(static_cast<unsigned char>(c)) ||
        static_cast<unsigned char>(c) >= 0x80) {
      words += absl::ascii_tolower(static_cast<unsigned char>(c));
      letters = true;
    } else if (std::string_view(" -'").find(c) != std::string_view::npos) {
      if (!words.empty() && words.back() != ' ') words += ' ';
    } else if (std::string_view("().,;:!?\"{}").find(c) == std::string_view::npos) {
      return nullptr;
    }
  }
  while (words.ends_with(' ')) words.pop_back();
  return letters ? MakeNode(NodeKind::kText, {}, std::move(words)) : nullptr;
}

// The words without the commands around them.
std::string WithoutTextCommands(const std::vector<Token>& tokens) {
  std::string words;
  for (const Token& token : tokens) {
    if (token.space_before) words += ' ';
    if (token.kind == TokenKind::kCommand && token.text != "and" && token.text != "or")
      words += '\\';
    words += token.text;
  }
  return words;
}

}  // namespace

absl::StatusOr<NodePtr> Parse(std::string_view text, CommaReading comma) {
  if (static_cast<int64_t>(text.size()) > kMaxTextBytes) {
    return InvalidArgument("{} bytes are too long for an answer; at most {} are read", text.size(),
                           kMaxTextBytes);
  }
  PONDER_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(PlainMathText(text)));
  JoinDigitGroups(tokens, comma);
  const bool wordy = std::any_of(tokens.begin(), tokens.end(),
                                 [](const Token& token) { return token.kind == TokenKind::kText; });
  const std::string words = wordy ? WithoutTextCommands(tokens) : "";
  absl::StatusOr<NodePtr> parsed = Parser(std::move(tokens)).Run();
  if (!parsed.ok() && wordy) {
    if (NodePtr node = TextNode(words)) return node;
  }
  return parsed;
}

std::vector<CommaReading> CommaReadings(std::string_view text) {
  if (text.find(',') == std::string_view::npos) return {CommaReading::kThousands};
  const absl::StatusOr<std::vector<Token>> tokens = Tokenize(PlainMathText(text));
  if (!tokens.ok()) return {CommaReading::kThousands};
  return PossibleReadings(*tokens);
}

}  // namespace ponder::math
