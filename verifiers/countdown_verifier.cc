#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "verifiers/answer.h"
#include "verifiers/built_in.h"
#include "verifiers/expression.h"

namespace ponder {
namespace {

constexpr size_t kMaxNumbers = 64;  // with 64-bit numbers this keeps the exact values small

struct Puzzle {
  std::multiset<int64_t> numbers;
  int64_t target = 0;
};

std::optional<Puzzle> ReadPuzzle(const std::string& data) {
  const nlohmann::json json = nlohmann::json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto numbers = json.find("numbers"), target = json.find("target");
  if (numbers == json.end() || target == json.end() || !numbers->is_array() || numbers->empty() ||
      numbers->size() > kMaxNumbers || !target->is_number_integer()) {
    return std::nullopt;
  }
  Puzzle puzzle{.target = target->get<int64_t>()};
  for (const nlohmann::json& number : *numbers) {
    if (!number.is_number_integer()) return std::nullopt;
    puzzle.numbers.insert(number.get<int64_t>());
  }
  return puzzle;
}

std::optional<int64_t> ReadInteger(const std::string& digits) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

class CountdownJudge : public ItemJudge {
 public:
  explicit CountdownJudge(const AnswerAnchors& anchors) : anchors_(anchors) {}

  std::string Name() const override { return "countdown"; }
  std::vector<std::string> TaskKinds() const override { return {"countdown"}; }

  Verdict Judge(const VerifyItem& item) const override {
    const std::optional<Puzzle> puzzle = ReadPuzzle(item.task.data);
    if (!puzzle) {
      return MakeVerdict(
          VerdictStatus::kInvalidGold, false, "",
          "expected the task's data as {\"numbers\": [3, 7], \"target\": 21} in whole numbers");
    }
    const MarkedAnswer marked =
        FindMarkedAnswer(item.completion, JoinBoxes::kByConnectives, anchors_);
    if (std::optional<Verdict> verdict = VerdictWithoutAnswer(marked)) return *std::move(verdict);
    const absl::StatusOr<Expression> expression = ParseExpression(marked.text);
    if (!expression.ok()) {
      return MakeVerdict(VerdictStatus::kUnparseable, false, marked.text,
                         std::string(expression.status().message()));
    }
    const bool keeps_form = KeepsForm(item.completion, marked);
    const std::string fault = FindFault(*puzzle, *expression);
    return MakeVerdict(fault.empty() ? VerdictStatus::kCorrect : VerdictStatus::kWrong, keeps_form,
                       marked.text, fault.empty() ? "the expression makes the target" : fault);
  }

 private:
  // Why the expression does not solve the puzzle; empty where it does.
  static std::string FindFault(const Puzzle& puzzle, const Expression& expression) {
    std::multiset<int64_t> left = puzzle.numbers;
    for (const Expression::Token& token : expression.tokens) {
      if (token.operation != 0) continue;
      const std::optional<int64_t> number = ReadInteger(token.digits);
      const auto place = number ? left.find(*number) : left.end();
      if (place == left.end()) {
        const bool given = number && puzzle.numbers.count(*number) > 0;
        return fmt::format(
            "{} {}", token.digits.substr(0, 40),
            given ? "is used more often than given" : "is not one of the numbers given");
      }
      left.erase(place);
    }
    // Every number was given, so there are few and the value stays small.
    const std::optional<mpq_class> value = Evaluate(expression);
    if (!value) return "the expression divides by zero";
    const mpq_class target(std::to_string(puzzle.target));
    if (*value != target) {
      return fmt::format("the expression makes {}, not {}", value->get_str(), puzzle.target);
    }
    if (!expression.claimed.empty() && ReadInteger(expression.claimed) != puzzle.target) {
      return fmt::format("the answer claims {}, not {}", expression.claimed.substr(0, 40),
                         puzzle.target);
    }
    return "";
  }

  const AnswerAnchors anchors_;
};

}  // namespace

std::unique_ptr<ItemJudge> CreateCountdownJudge(const AnswerAnchors& anchors) {
  return std::make_unique<CountdownJudge>(anchors);
}

}  // namespace ponder
