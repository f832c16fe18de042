#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "verifiers/answer.h"
#include "verifiers/built_in.h"

namespace ponder {
namespace {

// Lower-case ASCII letters and single blanks: "  Blue \n WHALE " is "blue whale".
std::string Plain(std::string_view text) {
  std::string plain;
  bool blank_due = false;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      blank_due = !plain.empty();
      continue;
    }
    if (blank_due) plain += ' ';
    blank_due = false;
    plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return plain;
}

// The marked answer must be the gold, letter by letter; case and white space do not count.
class TextJudge : public ItemJudge {
 public:
  explicit TextJudge(const AnswerAnchors& anchors) : anchors_(anchors) {}

  std::string Name() const override { return "text"; }
  std::vector<std::string> TaskKinds() const override { return {"text"}; }

  Verdict Judge(const VerifyItem& item) const override {
    const std::string gold = Plain(item.task.gold);
    if (gold.empty()) {
      return MakeVerdict(VerdictStatus::kInvalidGold, false, "", "the gold answer is empty");
    }
    const MarkedAnswer marked =
        FindMarkedAnswer(item.completion, JoinBoxes::kByConnectives, anchors_);
    if (std::optional<Verdict> verdict = VerdictWithoutAnswer(marked)) return *std::move(verdict);
    const bool right = Plain(marked.text) == gold;
    return MakeVerdict(right ? VerdictStatus::kCorrect : VerdictStatus::kWrong,
                       KeepsForm(item.completion, marked), marked.text,
                       right ? "the same text" : "another text");
  }

 private:
  const AnswerAnchors anchors_;
};

}  // namespace

std::unique_ptr<ItemJudge> CreateTextJudge(const AnswerAnchors& anchors) {
  return std::make_unique<TextJudge>(anchors);
}

}  // namespace ponder
