#pragma once

#include <string>
#include <string_view>

#include "verifiers/math/algebra.h"
#include "verifiers/math/compare.h"

namespace ponder::math {

enum class AnswerOutcome : uint8_t {
  kEqual,
  kDifferent,
  kUnreadableGold,
  kUnreadableAnswer,
  kUndecided,  // the algebra at hand could not tell
};

struct AnswerCheck {
  AnswerOutcome outcome = AnswerOutcome::kUndecided;
  std::string reason;
};

// Reads both texts, in all the ways their commas may mean, and compares. Bounded in time by the
// limits of Parse() and Compare() and of the algebra.
AnswerCheck CheckAnswer(std::string_view gold, std::string_view answer,
                        const CompareOptions& options, Algebra& algebra);

}  // namespace ponder::math
