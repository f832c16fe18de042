#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "tasks/procedural.h"

namespace ponder {
namespace {

constexpr size_t kMaxOperands = 4;
constexpr int64_t kMaxOperand = 999'999'999;
constexpr double kMaxResult = 1e15;  // far from the edge of int64_t, sums of products included

// A product of operands with its sign in the sum: a - b*c is {+, {a}}, {-, {b, c}}.
struct Term {
  char sign = '+';
  std::vector<int64_t> factors;
};

struct Form {
  std::string operators;  // between the operands, so one fewer than these
};

absl::StatusOr<Form> ParseForm(const std::string& text) {
  const absl::Status error = InvalidArgument(
      "expected a form such as \"a+b*c\": letters a, b, c, d in this order, at least two, with + - "
      "* between them; "
      "found \"{}\"",
      text);
  Form form;
  size_t operands = 0;
  bool wants_operand = true;
  for (const char c : text) {
    if (c == ' ') continue;
    if (wants_operand) {
      if (operands == kMaxOperands || c != static_cast<char>('a' + operands)) return error;
      ++operands;
    } else {
      if (std::string_view("+-*").find(c) == std::string_view::npos) return error;
      form.operators.push_back(c);
    }
    wants_operand = !wants_operand;
  }
  if (wants_operand || operands < 2) return error;
  return form;
}

// Carries of the column addition of two numbers, or borrows of the larger minus the smaller.
int64_t CountCarries(int64_t a, int64_t b) {
  int64_t count = 0;
  if ((a < 0) == (b < 0)) {
    a = std::abs(a), b = std::abs(b);
    for (int64_t carry = 0; a > 0 || b > 0; a /= 10, b /= 10) {
      carry = a % 10 + b % 10 + carry > 9 ? 1 : 0;
      count += carry;
    }
    return count;
  }
  a = std::abs(a), b = std::abs(b);
  if (a < b) std::swap(a, b);
  for (int64_t borrow = 0; a > 0; a /= 10, b /= 10) {
    borrow = a % 10 - b % 10 - borrow < 0 ? 1 : 0;
    count += borrow;
  }
  return count;
}

// 347 -> 300, 40, 7; no zeros.
std::vector<int64_t> PlaceValues(int64_t value) {
  std::vector<int64_t> places;
  for (int64_t unit = 1; value > 0; value /= 10, unit *= 10) {
    if (value % 10 != 0) places.push_back(value % 10 * unit);
  }
  std::reverse(places.begin(), places.end());
  return places;
}

// Writes the steps of a computation and counts its carries.
class Worker {
 public:
  int64_t Multiply(int64_t a, int64_t b) {
    std::string line = fmt::format("{}*{} =", a, b);
    // A factor of one digit splits the other one; otherwise the second is split.
    const bool split_first = b < 10;
    const std::vector<int64_t> places = PlaceValues(split_first ? a : b);
    if (places.size() > 1) {
      std::string products, values;
      int64_t sum = 0;
      for (const int64_t place : places) {
        const char* const plus = products.empty() ? " " : " + ";
        const int64_t value = split_first ? place * b : a * place;
        products += split_first ? fmt::format("{}{}*{}", plus, place, b)
                                : fmt::format("{}{}*{}", plus, a, place);
        values += fmt::format("{}{}", plus, value);
        carries_ += CountCarries(sum, value);
        sum += value;
      }
      line += fmt::format("{} ={} =", products, values);
    }
    Write(line, a * b);
    return a * b;
  }

  int64_t Add(int64_t a, char sign, int64_t b) {
    const int64_t result = sign == '+' ? a + b : a - b;
    carries_ += CountCarries(a, sign == '+' ? b : -b);
    Write(fmt::format("{} {} {} =", a, sign, b), result);
    return result;
  }

  const std::string& Text() const { return text_; }
  int64_t Carries() const { return carries_; }

 private:
  void Write(const std::string& line, int64_t result) {
    text_ += fmt::format("{}{} {}.", text_.empty() ? "" : " ", line, result);
  }

  std::string text_;
  int64_t carries_ = 0;
};

class ArithmeticGenerator : public QuestionGenerator {
 public:
  ArithmeticGenerator(ArithmeticSettings settings, Form form)
      : settings_(std::move(settings)), form_(std::move(form)) {}

  std::string Name() const override { return "arithmetic"; }
  std::string Describe() const override {
    return fmt::format("arithmetic {}, operands {} to {}, factors {} to {}", settings_.form,
                       settings_.low, settings_.high, settings_.factor_low, settings_.factor_high);
  }

  std::optional<DrawnQuestion> Draw(RandomStream& stream) const override {
    std::vector<Term> terms = {{'+', {stream.Between(settings_.low, settings_.high)}}};
    std::string expression = fmt::format("{}", terms[0].factors[0]);
    for (const char c : form_.operators) {
      const int64_t operand = c == '*' ? stream.Between(settings_.factor_low, settings_.factor_high)
                                       : stream.Between(settings_.low, settings_.high);
      if (c == '*') {
        terms.back().factors.push_back(operand);
      } else {
        terms.push_back({c, {operand}});
      }
      expression += fmt::format(" {} {}", c, operand);
    }
    Worker worker;
    std::vector<int64_t> values;
    for (const Term& term : terms) {
      int64_t value = term.factors[0];
      for (size_t i = 1; i < term.factors.size(); ++i)
        value = worker.Multiply(value, term.factors[i]);
      values.push_back(value);
    }
    int64_t result = values[0];
    for (size_t i = 1; i < terms.size(); ++i) result = worker.Add(result, terms[i].sign, values[i]);

    std::string compact = expression;
    std::erase(compact, ' ');
    DrawnQuestion drawn{.task = {.id = "arithmetic-" + compact,
                                 .kind = "math",
                                 .source = "arithmetic",
                                 .question = fmt::format("What is {}?", expression),
                                 .gold = fmt::format("{}", result),
                                 .data = "",
                                 .solution = worker.Text(),
                                 .difficulty = static_cast<double>(worker.Carries())},
                        .canonical = Canonical(std::move(terms))};
    return drawn;
  }

 private:
  static std::string Canonical(std::vector<Term> terms) {
    std::vector<std::string> texts;
    for (Term& term : terms) {
      std::sort(term.factors.begin(), term.factors.end());
      texts.push_back(fmt::format("{}{}", term.sign, fmt::join(term.factors, "*")));
    }
    std::sort(texts.begin(), texts.end());
    return fmt::format("arithmetic {}", fmt::join(texts, ""));
  }

  ArithmeticSettings settings_;
  Form form_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<QuestionGenerator>> CreateArithmeticGenerator(
    const ArithmeticSettings& settings) {
  PONDER_ASSIGN_OR_RETURN(Form form, ParseForm(settings.form));
  const auto check_range = [](const char* what, int64_t low, int64_t high) -> absl::Status {
    if (low >= 0 && low <= high && high <= kMaxOperand) return absl::OkStatus();
    return InvalidArgument("arithmetic: expected 0 <= {0}low <= {0}high <= {1}, found {2} and {3}",
                           what, kMaxOperand, low, high);
  };
  PONDER_RETURN_IF_ERROR(check_range("", settings.low, settings.high));
  PONDER_RETURN_IF_ERROR(check_range("factor_", settings.factor_low, settings.factor_high));
  double largest = 0, term = static_cast<double>(settings.high);
  for (const char c : form.operators) {
    if (c == '*') {
      term *= static_cast<double>(settings.factor_high);
    } else {
      largest += term;
      term = static_cast<double>(settings.high);
    }
  }
  largest += term;
  if (largest > kMaxResult) {
    return InvalidArgument(
        "arithmetic: {} can reach {:.3g} with these ranges, more than {:.0e}; lower high or "
        "factor_high",
        settings.form, largest, kMaxResult);
  }
  return std::make_unique<ArithmeticGenerator>(settings, std::move(form));
}

}  // namespace ponder
