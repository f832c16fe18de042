#include "verifiers/verifier.h"

#include <absl/time/clock.h>

#include <exception>
#include <utility>

#include "base/nearest_name.h"
#include "verifiers/built_in.h"
#include "verifiers/code/code_verifier.h"

namespace ponder {
namespace {

constexpr char kVersion[] = "1";
constexpr int64_t kMaxCompletionBytes = int64_t{16} << 20;
constexpr size_t kMaxExtractedBytes = 200;

class BuiltInVerifier : public Verifier {
 public:
  explicit BuiltInVerifier(std::unique_ptr<ItemJudge> judge) : judge_(std::move(judge)) {}

  VerifierDescription Describe() const override {
    return {.name = judge_->Name(),
            .version = kVersion,
            .task_kinds = judge_->TaskKinds(),
            .max_completion_bytes = kMaxCompletionBytes};
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time deadline) override {
    std::vector<Verdict> verdicts;
    verdicts.reserve(batch.size());
    for (const VerifyItem& item : batch) {
      const absl::Time start = absl::Now();
      if (start >= deadline) {
        verdicts.push_back(MakeVerdict(VerdictStatus::kInternal, false, "",
                                       "the deadline had passed before this item's turn"));
        continue;
      }
      verdicts.push_back(JudgeSafely(item));
      verdicts.back().elapsed_us = absl::ToInt64Microseconds(absl::Now() - start);
    }
    return verdicts;
  }

 private:
  Verdict JudgeSafely(const VerifyItem& item) const {
    if (static_cast<int64_t>(item.completion.size()) > kMaxCompletionBytes) {
      return MakeVerdict(VerdictStatus::kUnparseable, false, "",
                         fmt::format("the completion has {} bytes, at most {} are judged",
                                     item.completion.size(), kMaxCompletionBytes));
    }
    try {
      return judge_->Judge(item);
    } catch (const std::exception& error) {
      return MakeVerdict(VerdictStatus::kInternal, false, "",
                         fmt::format("the verifier failed: {}", error.what()));
    } catch (...) {
      return MakeVerdict(VerdictStatus::kInternal, false, "", "the verifier failed");
    }
  }

  std::unique_ptr<ItemJudge> judge_;
};

// Picks the judge by the task's kind.
class AutoJudge : public ItemJudge {
 public:
  explicit AutoJudge(std::vector<std::unique_ptr<ItemJudge>> judges) : judges_(std::move(judges)) {}

  std::string Name() const override { return "auto"; }
  std::vector<std::string> TaskKinds() const override {
    std::vector<std::string> kinds;
    for (const auto& judge : judges_) {
      for (std::string& kind : judge->TaskKinds()) kinds.push_back(std::move(kind));
    }
    return kinds;
  }
  Verdict Judge(const VerifyItem& item) const override {
    for (const auto& judge : judges_) {
      for (const std::string& kind : judge->TaskKinds()) {
        if (kind == item.task.kind) return judge->Judge(item);
      }
    }
    return MakeVerdict(VerdictStatus::kInvalidGold, false, "",
                       fmt::format("no verifier is known for tasks of kind \"{}\"; known are {}",
                                   item.task.kind, fmt::join(TaskKinds(), ", ")));
  }

 private:
  std::vector<std::unique_ptr<ItemJudge>> judges_;
};

}  // namespace

Verdict MakeVerdict(VerdictStatus status, bool keeps_form, std::string_view extracted,
                    std::string reason) {
  size_t length = std::min(extracted.size(), kMaxExtractedBytes);
  // Back over the continuation bytes of a character that the cut would split.
  while (length < extracted.size() && length > 0 && (extracted[length] & 0xC0) == 0x80) --length;
  return {.status = status,
          .score = status == VerdictStatus::kCorrect ? 1.0 : 0.0,
          .parts = {{"format", keeps_form ? 1.0 : 0.0}},
          .extracted = std::string(extracted.substr(0, length)),
          .reason = std::move(reason)};
}

std::optional<Verdict> VerdictWithoutAnswer(const MarkedAnswer& marked) {
  if (marked.form == AnswerForm::kNone) {
    return MakeVerdict(
        VerdictStatus::kNoAnswer, false, "",
        "no \\boxed{}, <answer>, #### or \"answer is\" was found outside the thoughts");
  }
  if (!marked.problem.empty()) {
    return MakeVerdict(VerdictStatus::kUnparseable, false, marked.text, marked.problem);
  }
  return std::nullopt;
}

std::unique_ptr<Verifier> CreateBuiltInVerifier(std::unique_ptr<ItemJudge> judge) {
  return std::make_unique<BuiltInVerifier>(std::move(judge));
}

absl::StatusOr<std::unique_ptr<Verifier>> CreateVerifier(const std::string& name,
                                                         const VerifierSettings& settings) {
  if (settings.extraction != "strict" && settings.extraction != "anywhere") {
    return InvalidArgument("expected extraction \"strict\" or \"anywhere\", found \"{}\"",
                           settings.extraction);
  }
  PONDER_ASSIGN_OR_RETURN(const MathOptions math, ToMathOptions(settings));
  if (name == "math") return CreateBuiltInVerifier(CreateMathJudge(math));
  if (name == "countdown") return CreateBuiltInVerifier(CreateCountdownJudge(math.anchors));
  if (name == "text") return CreateBuiltInVerifier(CreateTextJudge(math.anchors));
  const auto make_code = [anywhere = math.anywhere, settings] {
    return CreateCodeVerifier({.anywhere = anywhere,
                               .allow_weak_sandbox = settings.allow_weak_sandbox,
                               .log = settings.log});
  };
  if (name == "code") return make_code();
  if (name == "auto") {
    std::vector<std::unique_ptr<ItemJudge>> judges;
    judges.push_back(CreateMathJudge(math));
    judges.push_back(CreateCountdownJudge(math.anchors));
    judges.push_back(CreateTextJudge(math.anchors));
    return CreateAutoVerifier(CreateBuiltInVerifier(std::make_unique<AutoJudge>(std::move(judges))),
                              make_code);
  }
  const std::vector<std::string> known = {"auto", "code", "countdown", "math", "text"};
  return InvalidArgument(
      "no verifier is called \"{}\"; did you mean \"{}\"? Known are \"auto\", \"code\", "
      "\"countdown\", \"math\", \"text\"",
      name, NearestName(name, known));
}

}  // namespace ponder
