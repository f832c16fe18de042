#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "tasks/procedural.h"

namespace ponder {
namespace {

constexpr int64_t kMaxNumber = 1'000'000;
constexpr int64_t kMaxIntermediate =
    1'000'000'000;  // keeps the worked solutions readable and int64_t safe

// A value reached so far with the expression that reaches it.
struct Part {
  int64_t value = 0;
  std::string text;
  char last_operator = 0;  // 0: a given number
};

bool IsSum(const Part& part) { return part.last_operator == '+' || part.last_operator == '-'; }

std::string Wrapped(const Part& part, bool wrap) {
  return wrap ? fmt::format("({})", part.text) : part.text;
}

Part Combine(const Part& a, char c, const Part& b, int64_t value) {
  const bool product = c == '*' || c == '/';
  const bool wrap_b =
      (product && IsSum(b)) || (c == '-' && IsSum(b)) || (c == '/' && b.last_operator != 0);
  return {value, fmt::format("{} {} {}", Wrapped(a, product && IsSum(a)), c, Wrapped(b, wrap_b)),
          c};
}

class CountdownGenerator : public QuestionGenerator {
 public:
  explicit CountdownGenerator(CountdownSettings settings) : settings_(settings) {}

  std::string Name() const override { return "countdown"; }
  std::string Describe() const override {
    return fmt::format("countdown with {} numbers from {} to {}, targets to {}", settings_.numbers,
                       settings_.low, settings_.high, settings_.target_high);
  }

  // Combines the numbers at random until one value is left: that is the target, so each task can be
  // solved.
  std::optional<DrawnQuestion> Draw(RandomStream& stream) const override {
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < settings_.numbers; ++i) {
      numbers.push_back(stream.Between(settings_.low, settings_.high));
    }
    std::sort(numbers.begin(), numbers.end());
    std::vector<Part> parts;
    for (const int64_t number : numbers) parts.push_back({number, fmt::format("{}", number), 0});
    std::string solution;
    while (parts.size() > 1) {
      Part a = Take(parts, stream), b = Take(parts, stream);
      if (a.value < b.value) std::swap(a, b);
      const char c = "+-*/"[stream.Between(0, 3)];
      int64_t value = 0;
      switch (c) {
        case '+':
          value = a.value + b.value;
          break;
        case '-':
          value = a.value - b.value;
          break;
        case '*':
          value = a.value * b.value;
          break;
        // A division by 1 would be no step at all.
        default:
          value = b.value > 1 && a.value % b.value == 0 ? a.value / b.value : 0;
          break;
      }
      if (value < 1 || value > kMaxIntermediate) return std::nullopt;
      solution +=
          fmt::format("{}{} {} {} = {}.", solution.empty() ? "" : " ", a.value, c, b.value, value);
      parts.push_back(Combine(a, c, b, value));
    }
    const int64_t target = parts[0].value;
    // A target among the numbers would be its own answer.
    if (target > settings_.target_high ||
        std::find(numbers.begin(), numbers.end(), target) != numbers.end()) {
      return std::nullopt;
    }
    const std::string listed = fmt::format("{}", fmt::join(numbers, ","));
    std::string spoken = fmt::format("{}", fmt::join(numbers.begin(), numbers.end() - 1, ", "));
    spoken += fmt::format(" and {}", numbers.back());
    DrawnQuestion drawn{
        .task = {.id = fmt::format("countdown-{}={}", listed, target),
                 .kind = "countdown",
                 .source = "countdown",
                 .question = fmt::format(
                     "Use the numbers {}, each at most once, with + - * / and parentheses to "
                     "make {}. The answer is the expression.",
                     spoken, target),
                 .gold = parts[0].text,
                 .data = nlohmann::json{{"numbers", numbers}, {"target", target}}.dump(),
                 .solution = std::move(solution),
                 .difficulty = static_cast<double>(settings_.numbers - 1)},
        .canonical = fmt::format("countdown {}={}", listed, target)};
    return drawn;
  }

 private:
  static Part Take(std::vector<Part>& parts, RandomStream& stream) {
    const auto at = parts.begin() + stream.Between(0, static_cast<int64_t>(parts.size()) - 1);
    Part part = std::move(*at);
    parts.erase(at);
    return part;
  }

  CountdownSettings settings_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<QuestionGenerator>> CreateCountdownGenerator(
    const CountdownSettings& settings) {
  if (settings.numbers < 2 || settings.numbers > 6) {
    return InvalidArgument("countdown: expected 2 to 6 numbers, found {}", settings.numbers);
  }
  if (settings.low < 1 || settings.low > settings.high || settings.high > kMaxNumber) {
    return InvalidArgument("countdown: expected 1 <= low <= high <= {}, found {} and {}",
                           kMaxNumber, settings.low, settings.high);
  }
  if (settings.target_high < 1) {
    return InvalidArgument("countdown: expected target_high of at least 1, found {}",
                           settings.target_high);
  }
  return std::make_unique<CountdownGenerator>(settings);
}

}  // namespace ponder
