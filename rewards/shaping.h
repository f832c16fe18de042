#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace ponder {

// Terms of a reward that need no gold answer. Pure functions, linear in their input; thread-safe.

// 1 where the text is "<think>...</think>", white space, "<answer>...</answer>" and white space
// alone, each tag once; else 0. The opening <think> may be missing: many prompts end with it.
// (DeepSeek-AI 2025, DeepSeek-R1, section 2.2.2, format rewards.)
double R1FormatScore(std::string_view text);

// 0 up to limit - buffer tokens, then linearly down to -1 at the limit: -(length - (limit -
// buffer)) / buffer, never below -1. (Yu et al. 2025, DAPO, equation 13.) Requires buffer > 0.
double OverlongPenalty(int64_t length, int64_t limit, int64_t buffer);

// The share of n-grams of tokens that came before in the same completion: 1 - distinct / all; 0 for
// fewer than n tokens. (The n-gram repetition penalty of Yeo et al. 2025, Demystifying Long
// Chain-of-Thought Reasoning, as a share.) Requires n > 0.
double RepetitionShare(std::span<const int32_t> tokens, int64_t n);

// Ends of the two curves, at length 0 and at the limit.
struct CosineLengthSettings {
  double correct_short = 2;
  double correct_long = 1;
  double wrong_short = -10;
  double wrong_long = 0;
  double exceeded = -10;  // where the completion ran into the limit
};

// at_limit + (at_zero - at_limit) / 2 * (1 + cos(pi * length / limit)): of right answers the short
// ones are worth more, of wrong ones the long. (Yeo et al. 2025, section 4.1.) Requires limit > 0.
double CosineLengthScore(const CosineLengthSettings& settings, bool correct, bool exceeded,
                         int64_t length, int64_t limit);

}  // namespace ponder
