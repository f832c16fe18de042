#include "app/replay_difference.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ponder {
namespace {

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

}  // namespace

std::optional<ReplayDifference> CompareCompletions(const Completion& recorded,
                                                   const Completion& found) {
  ReplayDifference difference;
  const int64_t common = std::min(std::ssize(recorded.token_ids), std::ssize(found.token_ids));
  int64_t equal = 0;
  while (equal < common && recorded.token_ids[equal] == found.token_ids[equal]) ++equal;
  if (recorded.token_ids.size() != found.token_ids.size() || equal < common)
    difference.token = equal;
  // The token that is another one has a log-prob of its own.
  for (int64_t i = 0; i < equal; ++i) {
    const float was = recorded.logprobs[i], now = found.logprobs[i];
    if (SameBits(was, now)) continue;
    if (!difference.logprob_token.has_value()) difference.logprob_token = i;
    difference.logprob_max_abs_diff =
        std::max(difference.logprob_max_abs_diff, std::abs(static_cast<double>(was) - now));
  }
  if (recorded.finish != found.finish) {
    difference.field = "finish";
  } else if (recorded.text != found.text) {
    difference.field = "text";
  }
  if (!difference.token.has_value() && !difference.logprob_token.has_value() &&
      difference.field.empty())
    return std::nullopt;
  return difference;
}

}  // namespace ponder
