#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include "verifiers/answer.h"
#include "verifiers/built_in.h"
#include "verifiers/exact_number.h"
#include "verifiers/loose_answer.h"
#include "verifiers/math/algebra_worker.h"
#include "verifiers/math/answer_check.h"
#include "verifiers/math/parser.h"
#include "verifiers/math_settings.h"

namespace ponder {
namespace {

using math::AnswerCheck;
using math::AnswerOutcome;

// What a mark holds: one answer, or the answers of joined boxes as a list.
std::string TextOf(const MarkedAnswer& marked) {
  return marked.joined.empty() ? std::string(marked.text)
                               : fmt::format("{}", fmt::join(marked.joined, ", "));
}

// The text that is the gold answer: what it marks ("#### 72", "\boxed{72}"), else all of it.
std::string GoldText(std::string_view gold) {
  const MarkedAnswer marked = FindMarkedAnswer(gold, JoinBoxes::kByFewWords);
  const bool counts = marked.form == AnswerForm::kBox || marked.form == AnswerForm::kHashes ||
                      marked.form == AnswerForm::kAnswerTag;
  if (counts && (marked.problem.empty() || !marked.joined.empty())) return TextOf(marked);
  return std::string(gold);
}

// Empty where the gold can be read.
std::string ProblemOfGold(std::string_view gold) {
  if (ParseNumber(gold).ok()) return "";
  std::string problem;
  for (const math::CommaReading comma : math::CommaReadings(gold)) {
    const absl::StatusOr<math::NodePtr> tree = math::Parse(gold, comma);
    if (tree.ok()) return "";
    problem = std::string(tree.status().message());
  }
  return problem;
}

// A "final answer is ..." behind the last box or tag decides in evaluation.
void PreferFinalAnswer(std::string_view completion, MarkedAnswer& marked) {
  if (marked.form == AnswerForm::kNone || marked.form == AnswerForm::kPhrase ||
      marked.text.data() == nullptr) {
    return;
  }
  const auto end = static_cast<size_t>(marked.text.data() - completion.data()) + marked.text.size();
  const std::string_view rest = completion.substr(end);
  if (absl::AsciiStrToLower(std::string(rest)).find("final answer") == std::string::npos) return;
  const MarkedAnswer final_answer = FindMarkedAnswer(rest);
  if (final_answer.form == AnswerForm::kPhrase && math::Parse(final_answer.text).ok())
    marked = final_answer;
}

bool HasDecimalPoint(std::string_view text) { return text.find_first_of(".,") != text.npos; }

// Whether two plain numbers settle the matter without reading expressions; nothing where they do
// not.
std::optional<bool> CompareNumbers(std::string_view gold, std::string_view answer,
                                   const math::CompareOptions& options) {
  if (options.units_must_match) return std::nullopt;
  const absl::StatusOr<ExactNumber> left = ParseNumber(gold), right = ParseNumber(answer);
  if (!left.ok() || !right.ok()) return std::nullopt;
  if (left->percent != right->percent && !options.percent_either_way) return std::nullopt;
  if (SameValue(*left, *right)) return true;
  // Other readings of commas, and decimals to a precision, are looked at elsewhere.
  if (HasDecimalPoint(gold) || HasDecimalPoint(answer)) return std::nullopt;
  return false;
}

class MathJudge : public ItemJudge {
 public:
  explicit MathJudge(MathOptions options)
      : options_(options), workers_(math::CreateAlgebraWorkers()) {}

  std::string Name() const override { return "math"; }
  std::vector<std::string> TaskKinds() const override { return {"math"}; }

  Verdict Judge(const VerifyItem& item) const override {
    const absl::StatusOr<MathOptions> options = WithTaskOptions(options_, item.task.data);
    if (!options.ok())
      return MakeVerdict(VerdictStatus::kInvalidGold, false, "",
                         std::string(options.status().message()));
    const std::string gold = GoldText(item.task.gold);
    if (const std::string problem = ProblemOfGold(gold); !problem.empty()) {
      return MakeVerdict(VerdictStatus::kInvalidGold, false, "",
                         fmt::format("the gold answer cannot be read: {}", problem));
    }
    MarkedAnswer marked = FindMarkedAnswer(
        item.completion, options->anywhere ? JoinBoxes::kByFewWords : JoinBoxes::kByConnectives,
        options->anchors);
    if (options->anywhere && options->anchors.phrase) PreferFinalAnswer(item.completion, marked);
    const bool whole = !marked.text.empty() && (marked.problem.empty() || !marked.joined.empty());
    if (marked.form != AnswerForm::kNone && whole) {
      // A mark counts only as it stands: its chains have to hold.
      math::CompareOptions compare = options->compare;
      compare.lenient = compare.lenient && marked.form == AnswerForm::kPhrase;
      Verdict verdict = Compare(gold, TextOf(marked), KeepsForm(item.completion, marked), compare);
      if (verdict.status != VerdictStatus::kUnparseable || !options->anywhere) return verdict;
      if (marked.form == AnswerForm::kPhrase)
        return First(gold, FindLooseAnswers(marked.text), compare, std::move(verdict));
      return verdict;
    }
    Verdict none =
        marked.form != AnswerForm::kNone
            ? MakeVerdict(VerdictStatus::kUnparseable, false, marked.text,
                          marked.problem.empty() ? "the marked answer is empty" : marked.problem)
            : MakeVerdict(VerdictStatus::kNoAnswer, false, "",
                          "no \\boxed{}, <answer>, #### or \"answer is\" was found outside the "
                          "thoughts");
    if (!options->anywhere) return none;
    return First(gold, FindLooseAnswers(OutsideThoughts(item.completion)), options->compare,
                 std::move(none));
  }

 private:
  // The verdict of the first candidate that can be read.
  Verdict First(std::string_view gold, const std::vector<std::string_view>& candidates,
                const math::CompareOptions& options, Verdict otherwise) const {
    for (const std::string_view candidate : candidates) {
      Verdict verdict = Compare(gold, candidate, false, options);
      if (verdict.status != VerdictStatus::kUnparseable) return verdict;
    }
    return otherwise;
  }

  Verdict Compare(std::string_view gold, std::string_view answer, bool keeps_form,
                  const math::CompareOptions& options) const {
    if (const std::optional<bool> same = CompareNumbers(gold, answer, options)) {
      return MakeVerdict(
          *same ? VerdictStatus::kCorrect : VerdictStatus::kWrong, keeps_form, answer,
          *same ? "the answer equals the gold" : "the answer is another number than the gold");
    }
    math::RationalAlgebra rational;
    AnswerCheck check = math::CheckAnswer(gold, answer, options, rational);
    if (check.outcome == AnswerOutcome::kUndecided) {
      absl::StatusOr<AnswerCheck> full = workers_->Check(gold, answer, options);
      if (!full.ok()) return Failed(full.status(), answer);
      check = *std::move(full);
    }
    switch (check.outcome) {
      case AnswerOutcome::kEqual:
        return MakeVerdict(VerdictStatus::kCorrect, keeps_form, answer,
                           "the answer equals the gold");
      case AnswerOutcome::kDifferent:
        return MakeVerdict(VerdictStatus::kWrong, keeps_form, answer, check.reason);
      case AnswerOutcome::kUnreadableGold:
        return MakeVerdict(VerdictStatus::kInvalidGold, false, "",
                           fmt::format("the gold answer cannot be read: {}", check.reason));
      case AnswerOutcome::kUnreadableAnswer:
        return MakeVerdict(VerdictStatus::kUnparseable, false, answer, check.reason);
      case AnswerOutcome::kUndecided:
        break;
    }
    return MakeVerdict(VerdictStatus::kUnparseable, false, answer,
                       "the answer is too large or too unusual to be compared");
  }

  static Verdict Failed(const absl::Status& status, std::string_view answer) {
    const bool slow = status.code() == absl::StatusCode::kDeadlineExceeded;
    return MakeVerdict(slow ? VerdictStatus::kTimeout : VerdictStatus::kInternal, false, answer,
                       std::string(status.message()));
  }

  MathOptions options_;
  std::unique_ptr<math::AlgebraWorkers> workers_;
};

}  // namespace

std::unique_ptr<ItemJudge> CreateMathJudge(const MathOptions& options) {
  return std::make_unique<MathJudge>(options);
}

}  // namespace ponder
