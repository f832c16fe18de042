#include <absl/strings/ascii.h>

#include <algorithm>

#include "verifiers/math/answer_parser.h"

namespace ponder::math {
namespace {

constexpr size_t kMostDigits = 100'000;

mpz_class PowerOfTen(uint64_t exponent) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, exponent);
  return power;
}

bool IsMixedStart(const Node& node) {
  return IsWholeNumber(node) ||
         (node.kind == NodeKind::kNegate && IsWholeNumber(*node.children[0]));
}

}  // namespace

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

NodePtr AnswerParser::Number() {
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
NodePtr AnswerParser::InBase(const std::string& digits) {
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

// "1/2" behind the "2" of "2 1/2".
bool AnswerParser::StartsMixedFraction(const Node& whole) const {
  return IsMixedStart(whole) && Peek().kind == TokenKind::kNumber && Peek(1).IsSign('/') &&
         Peek(2).kind == TokenKind::kNumber;
}

NodePtr AnswerParser::MixedFraction() {
  const NodePtr numerator = NumberNode(Next().text);
  Next();
  const NodePtr denominator = NumberNode(Next().text);
  return Make(NodeKind::kDivide, {numerator, denominator}, "frac");
}

// The next factor without a sign between. A whole number before a fraction of whole numbers is a
// mixed number; -3\frac{1}{2} is its negative.
void AnswerParser::Attach(std::vector<NodePtr>& factors, NodePtr next) {
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
std::string AnswerParser::UnitWords() {
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

}  // namespace ponder::math
