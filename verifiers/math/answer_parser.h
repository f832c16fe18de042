#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "verifiers/math/lexer.h"
#include "verifiers/math/syntax.h"

namespace ponder::math {

// Tokens to a tree, Pratt's way by hand: one function a level of binding, each of which begins at
// the next token and leaves behind what it has read. A failure leaves a message in `problem_` and
// a null pointer, which every caller hands on. Its functions lie by what they read, in
//
//   answer_parser_levels.cc     the levels of binding, from lists down to single operands
//   answer_parser_numbers.cc    numbers, mixed numbers, units
//   answer_parser_brackets.cc   brackets, groups, sets, intervals, matrices
//   answer_parser_commands.cc   LaTeX commands, functions, names
class AnswerParser {
 public:
  explicit AnswerParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // Once.
  absl::StatusOr<NodePtr> Run();

 private:
  // Guards the recursion; every cycle of calls passes one.
  class Deeper {
   public:
    explicit Deeper(AnswerParser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Deeper() { --parser_.depth_; }
    bool TooDeep() const { return parser_.depth_ > kMaxDepth; }

   private:
    AnswerParser& parser_;
  };

  // The place among the tokens; the end token is never passed.
  const Token& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token& Next() {
    Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool Take(char sign) {
    if (!Peek().IsSign(sign)) return false;
    Next();
    return true;
  }
  static std::string Shown(const Token& token);

  // Nodes, null where a child is null or the tree gets too deep.
  NodePtr Fail(std::string problem);
  NodePtr Bounded(Node node);
  NodePtr Make(NodeKind kind, std::vector<NodePtr> children, std::string name = "");
  NodePtr Total(const std::vector<NodePtr>& factors);  // their product

  // Levels of binding, the loosest first.
  NodePtr List();  // items behind one another; one item is itself
  NodePtr Chain();
  NodePtr Unions();
  NodePtr Ratio();
  NodePtr Sum();
  NodePtr Product();
  NodePtr Unary();
  NodePtr Power();
  NodePtr Exponent();
  NodePtr Postfix(NodePtr node);  // behind an operand: factorials, percent signs, degrees
  NodePtr Primary();
  bool Separator(std::string& word);
  bool AtEndOfList() const;
  bool StartsFactor() const;

  NodePtr Number();
  NodePtr InBase(const std::string& digits);
  NodePtr MixedFraction();
  bool StartsMixedFraction(const Node& whole) const;
  void Attach(std::vector<NodePtr>& factors, NodePtr next);
  std::string UnitWords();

  NodePtr Bracketed();
  NodePtr Group();
  NodePtr Set();
  NodePtr Absolute();
  NodePtr Enclosed(std::string_view close, const std::string& function);
  NodePtr Angle();
  NodePtr NamedSet();
  NodePtr Matrix();

  NodePtr Command();
  static bool StartsOperand(std::string_view command);
  NodePtr Argument();
  NodePtr Fraction();
  NodePtr Binomial();
  NodePtr Root();
  NodePtr Overline();
  NodePtr Prefixed();
  NodePtr BigOperator();
  NodePtr Function();
  NodePtr OpenArgument();
  NodePtr Symbol();
  NodePtr Named(std::string name);
  std::string Subscript();

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int64_t depth_ = 0;
  int64_t bars_ = 0;       // inside |...| a bar closes
  bool no_colon_ = false;  // in a set a colon means "such that"
  std::string problem_;
};

// "12", "0.5", ".4", "0.1(6)".
NodePtr NumberNode(std::string_view text);

// A number that was written without a decimal point or fraction.
bool IsWholeNumber(const Node& node);

}  // namespace ponder::math
