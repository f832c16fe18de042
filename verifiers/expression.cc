#include "verifiers/expression.h"

#include <utility>

namespace ponder {
namespace {

constexpr size_t kMaxBytes = 4096;
constexpr size_t kMaxDepth = 64;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// One character an operation, no blanks kept except between digits ("1 2" is two numbers, which no
// rule joins).
std::string Normalize(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> kSpellings[] = {
      {"\\times", "*"}, {"\\cdot", "*"}, {"\\div", "/"},  {"\\left", ""},  {"\\right", ""},
      {"\\(", ""},      {"\\)", ""},     {"\\[", ""},     {"\\]", ""},     {"\\,", " "},
      {"\\ ", " "},     {"$", ""},       {"\u00D7", "*"}, {"\u00F7", "/"}, {"\u2212", "-"},
      {"\u00A0", " "},  {"\n", " "},     {"\t", " "},     {"\r", " "}};
  std::string result;
  while (!text.empty()) {
    size_t taken = 1;
    std::string_view replacement = text.substr(0, 1);
    for (const auto& [from, to] : kSpellings) {
      if (text.starts_with(from)) {
        taken = from.size();
        replacement = to;
        break;
      }
    }
    result.append(replacement);
    text.remove_prefix(taken);
  }
  while (!result.empty() && (result.back() == ' ' || result.back() == '.')) result.pop_back();
  return result;
}

int Precedence(char operation) {
  switch (operation) {
    case '+':
    case '-':
      return 1;
    case '*':
    case '/':
      return 2;
    default:
      return 3;  // ~
  }
}

}  // namespace

absl::StatusOr<Expression> ParseExpression(std::string_view text) {
  if (text.size() > kMaxBytes) {
    return InvalidArgument("expected an expression of at most {} bytes, found {}", kMaxBytes,
                           text.size());
  }
  const std::string normal = Normalize(text);
  std::string_view body = normal;
  Expression result;
  if (const size_t equals = body.rfind('='); equals != std::string_view::npos) {
    for (const char c : body.substr(equals + 1)) {
      if (c != ' ') result.claimed.push_back(c);
    }
    if (result.claimed.empty() ||
        result.claimed.find_first_not_of("0123456789") != std::string::npos) {
      return InvalidArgument("expected a whole number behind \"=\", found \"{}\"", result.claimed);
    }
    body = body.substr(0, equals);
  }
  // Shunting yard (Dijkstra 1961): no recursion, so depth costs nothing but the limit below.
  std::vector<char> pending;
  size_t depth = 0;
  bool wants_operand = true;
  const auto pop = [&]() {
    result.tokens.push_back({pending.back(), ""});
    pending.pop_back();
  };
  for (size_t i = 0; i < body.size();) {
    const char c = body[i];
    if (c == ' ') {
      ++i;
    } else if (wants_operand && IsDigit(c)) {
      size_t end = i;
      while (end < body.size() && IsDigit(body[end])) ++end;
      result.tokens.push_back({0, std::string(body.substr(i, end - i))});
      i = end;
      wants_operand = false;
    } else if (wants_operand && c == '(') {
      if (++depth > kMaxDepth)
        return InvalidArgument("expected parentheses at most {} deep", kMaxDepth);
      pending.push_back(c);
      ++i;
    } else if (wants_operand && c == '-') {
      pending.push_back('~');
      ++i;
    } else if (!wants_operand && c == ')' && depth > 0) {
      while (pending.back() != '(') pop();
      pending.pop_back();
      --depth;
      ++i;
    } else if (!wants_operand && (c == '+' || c == '-' || c == '*' || c == '/')) {
      while (!pending.empty() && pending.back() != '(' &&
             Precedence(pending.back()) >= Precedence(c))
        pop();
      pending.push_back(c);
      wants_operand = true;
      ++i;
    } else {
      return InvalidArgument("expected {}, found \"{}\" at position {}",
                             wants_operand ? "a number or \"(\"" : "one of + - * / or \")\"",
                             body.substr(i, 12), i);
    }
  }
  if (wants_operand) return InvalidArgument("expected a number at the end of the expression");
  if (depth > 0) return InvalidArgument("expected \")\" at the end of the expression");
  while (!pending.empty()) pop();
  return result;
}

std::optional<mpq_class> Evaluate(const Expression& expression) {
  std::vector<mpq_class> stack;
  for (const Expression::Token& token : expression.tokens) {
    if (token.operation == 0) {
      stack.emplace_back(mpz_class(token.digits, 10));
      continue;
    }
    if (token.operation == '~') {
      stack.back() = -stack.back();
      continue;
    }
    const mpq_class right = std::move(stack.back());
    stack.pop_back();
    mpq_class& left = stack.back();
    switch (token.operation) {
      case '+':
        left += right;
        break;
      case '-':
        left -= right;
        break;
      case '*':
        left *= right;
        break;
      default:
        if (right == 0) return std::nullopt;
        left /= right;
    }
  }
  return stack.back();
}

}  // namespace ponder
