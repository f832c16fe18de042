#pragma once

#include <string_view>

#include "base/status.h"
#include "verifiers/answer.h"
#include "verifiers/math/compare.h"
#include "verifiers/verifier.h"

namespace ponder {

// What a math verifier does with an item: its settings, overridden by the task's own.
struct MathOptions {
  bool anywhere = false;
  AnswerAnchors anchors;
  math::CompareOptions compare;
};

absl::StatusOr<MathOptions> ToMathOptions(const VerifierSettings& settings);

// `data` is empty or a JSON object with any of "decimal_places" (a number, or "exact"), "percent"
// and "units"; other names are left alone.
absl::StatusOr<MathOptions> WithTaskOptions(MathOptions options, std::string_view data);

}  // namespace ponder
