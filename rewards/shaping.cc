#include "rewards/shaping.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <unordered_set>

#include "base/check.h"
#include "base/random.h"

namespace ponder {
namespace {

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool HasTag(std::string_view text) {
  for (const std::string_view tag : {"<think>", "</think>", "<answer>", "</answer>"}) {
    if (text.find(tag) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

double R1FormatScore(std::string_view text) {
  constexpr std::string_view kThink = "<think>", kThought = "</think>", kAnswer = "<answer>",
                             kEnd = "</answer>";
  text = Trimmed(text);
  if (text.starts_with(kThink)) text.remove_prefix(kThink.size());
  const size_t thought = text.find(kThought);
  if (thought == std::string_view::npos || HasTag(text.substr(0, thought))) return 0;
  std::string_view answer = Trimmed(text.substr(thought + kThought.size()));
  if (!answer.starts_with(kAnswer) || !answer.ends_with(kEnd) ||
      answer.size() < kAnswer.size() + kEnd.size()) {
    return 0;
  }
  answer.remove_prefix(kAnswer.size());
  answer.remove_suffix(kEnd.size());
  return HasTag(answer) ? 0 : 1;
}

double OverlongPenalty(int64_t length, int64_t limit, int64_t buffer) {
  PONDER_CHECK(buffer > 0, "the buffer is a length");
  const double into = static_cast<double>(length - (limit - buffer));
  return -std::clamp(into / static_cast<double>(buffer), 0.0, 1.0);
}

double RepetitionShare(std::span<const int32_t> tokens, int64_t n) {
  PONDER_CHECK(n > 0, "an n-gram has tokens");
  const auto count = static_cast<int64_t>(tokens.size()) - n + 1;
  if (count <= 0) return 0;
  // n-grams by a rolling polynomial hash modulo 2^64, mixed: equal ones are equal, different ones
  // meet with probability below count^2 / 2^64.
  constexpr uint64_t kBase = 0x9E3779B97F4A7C15;
  uint64_t drop = 1;  // kBase^(n-1)
  for (int64_t i = 1; i < n; ++i) drop *= kBase;
  const auto term = [&](int64_t i) { return RandomBits({}, static_cast<uint32_t>(tokens[i])); };
  std::unordered_set<uint64_t> distinct;
  uint64_t hash = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(tokens.size()); ++i) {
    if (i >= n) hash -= drop * term(i - n);
    hash = hash * kBase + term(i);
    if (i >= n - 1) distinct.insert(hash);
  }
  return 1 - static_cast<double>(distinct.size()) / static_cast<double>(count);
}

double CosineLengthScore(const CosineLengthSettings& settings, bool correct, bool exceeded,
                         int64_t length, int64_t limit) {
  PONDER_CHECK(limit > 0, "a limit is a length");
  if (exceeded) return settings.exceeded;
  const double at_zero = correct ? settings.correct_short : settings.wrong_short;
  const double at_limit = correct ? settings.correct_long : settings.wrong_long;
  const double share =
      std::clamp(static_cast<double>(length) / static_cast<double>(limit), 0.0, 1.0);
  return at_limit + (at_zero - at_limit) / 2 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace ponder
