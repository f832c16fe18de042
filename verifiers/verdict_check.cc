#include "verifiers/verdict_check.h"

#include <fmt/format.h>

#include <cmath>

namespace ponder {
namespace {

// For people and the store: enough for a sentence and an answer, bounded for a run of many steps.
constexpr size_t kMaxTextBytes = 4096;
constexpr size_t kMaxParts = 64;
constexpr size_t kMaxPartNameBytes = 64;

void Cut(std::string& text) {
  if (text.size() <= kMaxTextBytes) return;
  size_t length = kMaxTextBytes;
  while (length > 0 && (text[length] & 0xC0) == 0x80) --length;
  text.resize(length);
}

}  // namespace

Verdict InternalVerdict(std::string reason) {
  return {.status = VerdictStatus::kInternal, .reason = std::move(reason)};
}

bool IsFailure(const Verdict& verdict) {
  return verdict.status == VerdictStatus::kInternal ||
         verdict.status == VerdictStatus::kUnspecified;
}

Verdict CheckedVerdict(Verdict verdict) {
  if (verdict.status == VerdictStatus::kUnspecified) {
    return InternalVerdict("the verifier gave no known status");
  }
  // Written so that NaN fails too.
  if (!(verdict.score >= 0 && verdict.score <= 1)) {
    return InternalVerdict(
        fmt::format("the verifier gave a score outside 0 to 1, found {}", verdict.score));
  }
  if (verdict.parts.size() > kMaxParts) {
    return InternalVerdict(fmt::format("the verifier gave {} parts, at most {} are kept",
                                       verdict.parts.size(), kMaxParts));
  }
  for (const auto& [name, value] : verdict.parts) {
    if (name.empty() || name.size() > kMaxPartNameBytes) {
      return InternalVerdict(
          fmt::format("the verifier gave a part whose name has {} bytes, not 1 to {}", name.size(),
                      kMaxPartNameBytes));
    }
    if (!std::isfinite(value)) {
      return InternalVerdict(
          fmt::format("the verifier gave a part \"{}\" that is no finite number", name));
    }
  }
  Cut(verdict.extracted);
  Cut(verdict.reason);
  return verdict;
}

}  // namespace ponder
