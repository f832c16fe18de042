#include <algorithm>
#include <array>
#include <optional>

#include "verifiers/math/answer_parser.h"

namespace ponder::math {
namespace {

constexpr int64_t kMostListItems = 1000;

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

}  // namespace

absl::StatusOr<NodePtr> AnswerParser::Run() {
  if (Peek().kind == TokenKind::kEnd) return InvalidArgument("it is empty");
  NodePtr node = List();
  while (node != nullptr && (Peek().IsSign('.') || Peek().IsSign(','))) Next();
  if (node != nullptr && Peek().kind != TokenKind::kEnd) {
    node = Fail(fmt::format("nothing was expected where {} stands", Shown(Peek())));
  }
  if (node == nullptr) return InvalidArgument("{}", problem_);
  return node;
}

std::string AnswerParser::Shown(const Token& token) {
  if (token.kind == TokenKind::kEnd) return "the end";
  return fmt::format("\"{}{}\"", token.kind == TokenKind::kCommand ? "\\" : "", token.text);
}

NodePtr AnswerParser::Fail(std::string problem) {
  if (problem_.empty()) problem_ = std::move(problem);
  return nullptr;
}

NodePtr AnswerParser::Bounded(Node node) {
  if (std::find(node.children.begin(), node.children.end(), nullptr) != node.children.end())
    return nullptr;
  NodePtr shared = Share(std::move(node));
  return shared->depth > kMaxDepth ? Fail("it is nested too deeply") : shared;
}

NodePtr AnswerParser::Make(NodeKind kind, std::vector<NodePtr> children, std::string name) {
  return Bounded({.kind = kind, .name = std::move(name), .children = std::move(children)});
}

NodePtr AnswerParser::Total(const std::vector<NodePtr>& factors) {
  return factors.size() == 1 ? factors[0] : Make(NodeKind::kMultiply, factors);
}

// The separator at the current place, taken: "and" or "or" where one of these words was among it.
bool AnswerParser::Separator(std::string& word) {
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

bool AnswerParser::AtEndOfList() const {
  const Token& token = Peek();
  return token.kind == TokenKind::kEnd || token.kind == TokenKind::kCloseSet ||
         token.kind == TokenKind::kRow || token.IsSign(')') || token.IsSign(']') ||
         token.IsSign('}') || token.IsSign('&') || token.IsSign('.') || token.IsCommand("end") ||
         token.IsCommand("rangle");
}

NodePtr AnswerParser::List() {
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

NodePtr AnswerParser::Chain() {
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

NodePtr AnswerParser::Unions() {
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

NodePtr AnswerParser::Ratio() {
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

NodePtr AnswerParser::Sum() {
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
      term = Make(NodeKind::kPlusMinus, {total(), Product()}, name);
      terms.clear();
    } else if (Peek().IsCommand("pmod") || Peek().IsCommand("mod") || Peek().IsCommand("bmod")) {
      Next();
      term = Make(NodeKind::kFunction, {total(), Product()}, "mod");
      terms.clear();
    } else {
      return total();
    }
  }
  return nullptr;
}

bool AnswerParser::StartsFactor() const {
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
      return StartsOperand(token.text);
    default:
      return false;
  }
}

NodePtr AnswerParser::Product() {
  const Deeper deeper(*this);
  if (deeper.TooDeep()) return Fail("it is nested too deeply");
  std::vector<NodePtr> factors = {Unary()};
  while (factors.back() != nullptr) {
    if (Take('*')) {
      factors.push_back(Unary());
    } else if (Take('/')) {
      factors = {Make(NodeKind::kDivide, {Total(factors), Unary()})};
    } else if (Peek().kind == TokenKind::kText) {
      NodePtr quantity = Total(factors);
      if (quantity == nullptr) return nullptr;
      factors = {Make(NodeKind::kUnit, {std::move(quantity)}, UnitWords())};
    } else if (StartsFactor()) {
      Attach(factors, Power());
    } else if (StartsMixedFraction(*factors.back())) {
      Attach(factors, MixedFraction());
    } else {
      return Total(factors);
    }
  }
  return nullptr;
}

NodePtr AnswerParser::Unary() {
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

NodePtr AnswerParser::Power() {
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

NodePtr AnswerParser::Exponent() {
  while (Take('+')) {
  }
  if (Take('-')) {
    NodePtr operand = Power();
    if (operand == nullptr) return nullptr;
    return Make(NodeKind::kNegate, {std::move(operand)});
  }
  return Power();
}

NodePtr AnswerParser::Postfix(NodePtr node) {
  while (node != nullptr) {
    if (Peek().IsSign('!')) {
      Next();
      node = Make(NodeKind::kFunction, {std::move(node)}, "factorial");
    } else if (Peek().IsSign('%')) {
      Next();
      node = Make(NodeKind::kPercent, {std::move(node)});
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

NodePtr AnswerParser::Primary() {
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

}  // namespace ponder::math
