#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/records.h"

namespace ponder {

// Where a regenerated completion is not the recorded one.
struct ReplayDifference {
  // The first token that is another one, or that only one of the two has; none where all are equal.
  std::optional<int64_t> token;
  // The first before it, or of all, whose log-prob has other bits, and by how much they differ at
  // most.
  std::optional<int64_t> logprob_token;
  double logprob_max_abs_diff = 0;
  // What else is recorded otherwise behind equal tokens: "finish", "text", or empty.
  std::string field;
};

// Nothing where tokens, bits of log-probs, finish and text are equal. Each completion has as many
// log-probs as tokens.
std::optional<ReplayDifference> CompareCompletions(const Completion& recorded,
                                                   const Completion& found);

}  // namespace ponder
