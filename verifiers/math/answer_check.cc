#include "verifiers/math/answer_check.h"

#include <vector>

#include "verifiers/math/parser.h"

namespace ponder::math {
namespace {

struct Readings {
  std::vector<NodePtr> trees;
  std::string problem;
};

Readings ReadAll(std::string_view text, const std::vector<CommaReading>& commas) {
  Readings readings;
  for (const CommaReading comma : commas) {
    absl::StatusOr<NodePtr> tree = Parse(text, comma);
    if (tree.ok()) {
      readings.trees.push_back(*std::move(tree));
    } else if (readings.problem.empty()) {
      readings.problem = std::string(tree.status().message());
    }
  }
  return readings;
}

}  // namespace

AnswerCheck CheckAnswer(std::string_view gold, std::string_view answer,
                        const CompareOptions& options, Algebra& algebra) {
  // A gold 1,000,000 is that number alone: as a list it would equal 1,000,001 and 0,1.
  std::vector<CommaReading> gold_commas = CommaReadings(gold);
  if (gold_commas[0] == CommaReading::kThousands) gold_commas.resize(1);
  const Readings golds = ReadAll(gold, gold_commas);
  if (golds.trees.empty()) return {AnswerOutcome::kUnreadableGold, golds.problem};
  const Readings answers = ReadAll(answer, CommaReadings(answer));
  if (answers.trees.empty()) return {AnswerOutcome::kUnreadableAnswer, answers.problem};
  AnswerCheck check{AnswerOutcome::kDifferent, ""};
  for (const NodePtr& expected : golds.trees) {
    for (const NodePtr& found : answers.trees) {
      Comparison comparison = Compare(expected, found, options, algebra);
      if (comparison.equal == Truth::kTrue) return {AnswerOutcome::kEqual, ""};
      if (comparison.equal == Truth::kUnknown) check.outcome = AnswerOutcome::kUndecided;
      if (check.reason.empty()) check.reason = std::move(comparison.reason);
    }
  }
  return check;
}

}  // namespace ponder::math
