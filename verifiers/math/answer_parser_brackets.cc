#include <utility>

#include "verifiers/math/answer_parser.h"

namespace ponder::math {

// ( ... ), [ ... ], also half-open. One item between equal brackets is the item.
NodePtr AnswerParser::Bracketed() {
  const char open = Next().text[0];
  const bool outer_colon = std::exchange(no_colon_, false);
  const int64_t outer_bars = std::exchange(bars_, 0);
  Node node{.kind = NodeKind::kBracketed, .open = open};
  if (!Peek().IsSign(')') && !Peek().IsSign(']')) {
    NodePtr items = List();
    if (items == nullptr) return nullptr;
    node.children = items->kind == NodeKind::kList ? items->children : std::vector<NodePtr>{items};
  }
  no_colon_ = outer_colon;
  bars_ = outer_bars;
  if (!Peek().IsSign(')') && !Peek().IsSign(']')) return Fail("a bracket is never closed");
  node.close = Next().text[0];
  if (node.children.size() == 1) return node.children[0];
  return Bounded(std::move(node));
}

// A TeX group: its content; with commas a set, as people who forget the backslash mean it.
NodePtr AnswerParser::Group() {
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

NodePtr AnswerParser::Set() {
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

NodePtr AnswerParser::Absolute() {
  Next();
  const int64_t outer_bars = std::exchange(bars_, 1);
  NodePtr inside = Sum();
  bars_ = outer_bars;
  if (inside == nullptr) return nullptr;
  if (!Take('|')) return Fail("a bar is never closed");
  return Make(NodeKind::kFunction, {std::move(inside)}, "abs");
}

NodePtr AnswerParser::Enclosed(std::string_view close, const std::string& function) {
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

NodePtr AnswerParser::Angle() {
  Next();
  NodePtr items = List();
  if (items == nullptr) return nullptr;
  if (!Peek().IsCommand("rangle")) return Fail("\\langle is never closed");
  Next();
  Node node{.kind = NodeKind::kBracketed, .open = '<', .close = '>'};
  node.children = items->kind == NodeKind::kList ? items->children : std::vector<NodePtr>{items};
  return Bounded(std::move(node));
}

NodePtr AnswerParser::NamedSet() {
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

NodePtr AnswerParser::Matrix() {
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

}  // namespace ponder::math
