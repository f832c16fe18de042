#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"
#include "verifiers/answer.h"
#include "verifiers/math_settings.h"
#include "verifiers/verifier.h"

namespace ponder {

// A judge of one item, what the built-in verifiers are made of. Linear in the item's size and
// thread-safe; deadline, time taken and exceptions are its caller's business.
class ItemJudge {
 public:
  virtual ~ItemJudge() = default;
  virtual std::string Name() const = 0;
  virtual std::vector<std::string> TaskKinds() const = 0;
  virtual Verdict Judge(const VerifyItem& item) const = 0;
};

std::unique_ptr<ItemJudge> CreateMathJudge(const MathOptions& options);
std::unique_ptr<ItemJudge> CreateCountdownJudge(const AnswerAnchors& anchors);
std::unique_ptr<ItemJudge> CreateTextJudge(const AnswerAnchors& anchors);

// A verifier of a judge: size limits, deadline between items, an exception is an INTERNAL verdict.
std::unique_ptr<Verifier> CreateBuiltInVerifier(std::unique_ptr<ItemJudge> judge);

// Sends tasks of kind "code" to the verifier that `make_code` makes when the first of them comes,
// all others to `by_rule`. Where it cannot be made, calls with such tasks fail with its status.
std::unique_ptr<Verifier> CreateAutoVerifier(
    std::unique_ptr<Verifier> by_rule,
    std::function<absl::StatusOr<std::unique_ptr<Verifier>>()> make_code);

// `extracted` cut to a length for people, between characters.
Verdict MakeVerdict(VerdictStatus status, bool keeps_form, std::string_view extracted,
                    std::string reason);

// The verdict where nothing is marked as an answer, or the mark is broken; else none.
std::optional<Verdict> VerdictWithoutAnswer(const MarkedAnswer& marked);

}  // namespace ponder
