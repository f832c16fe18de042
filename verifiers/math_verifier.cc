#include "verifiers/answer.h"
#include "verifiers/built_in.h"
#include "verifiers/exact_number.h"

namespace ponder {
namespace {

// A gold is a number, or a marked one ("#### 72", "\boxed{72}").
absl::StatusOr<ExactNumber> ParseGold(std::string_view gold) {
  absl::StatusOr<ExactNumber> number = ParseNumber(gold);
  if (number.ok()) return number;
  const MarkedAnswer marked = FindMarkedAnswer(gold);
  if (marked.form == AnswerForm::kNone || !marked.problem.empty()) return number;
  return ParseNumber(marked.text);
}

class MathJudge : public ItemJudge {
 public:
  explicit MathJudge(bool anywhere) : anywhere_(anywhere) {}

  std::string Name() const override { return "math"; }
  std::vector<std::string> TaskKinds() const override { return {"math"}; }

  Verdict Judge(const VerifyItem& item) const override {
    const absl::StatusOr<ExactNumber> gold = ParseGold(item.task.gold);
    if (!gold.ok()) {
      return MakeVerdict(
          VerdictStatus::kInvalidGold, false, "",
          fmt::format("the gold answer is not a number: {}", gold.status().message()));
    }
    const MarkedAnswer marked = FindMarkedAnswer(item.completion);
    std::string problem = marked.problem;
    if (marked.form != AnswerForm::kNone && problem.empty()) {
      const absl::StatusOr<ExactNumber> answer = ParseNumber(marked.text);
      if (answer.ok())
        return Compare(*gold, *answer, KeepsForm(item.completion, marked), marked.text);
      problem = std::string(answer.status().message());
    }
    if (anywhere_) {
      if (const std::optional<std::string_view> last = FindLastNumber(item.completion)) {
        const absl::StatusOr<ExactNumber> answer = ParseNumber(*last);
        if (answer.ok()) return Compare(*gold, *answer, false, *last);
      }
    }
    if (marked.form == AnswerForm::kNone) {
      return MakeVerdict(
          VerdictStatus::kNoAnswer, false, "",
          "no \\boxed{}, <answer>, #### or \"answer is\" was found outside the thoughts");
    }
    return MakeVerdict(VerdictStatus::kUnparseable, false, marked.text, problem);
  }

 private:
  static Verdict Compare(const ExactNumber& gold, const ExactNumber& answer, bool keeps_form,
                         std::string_view extracted) {
    const bool same = SameValue(gold, answer);
    return MakeVerdict(
        same ? VerdictStatus::kCorrect : VerdictStatus::kWrong, keeps_form, extracted,
        same ? "the answer equals the gold" : "the answer is another number than the gold");
  }

  bool anywhere_;
};

}  // namespace

std::unique_ptr<ItemJudge> CreateMathJudge(bool anywhere) {
  return std::make_unique<MathJudge>(anywhere);
}

}  // namespace ponder
