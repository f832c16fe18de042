#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/records.h"

namespace ponder {

// A step's best and worst paid completion of one group.
struct SamplePick {
  const ScoredGroup* group = nullptr;  // null: there is none
  size_t best = 0;
  size_t worst = 0;
};

// Takes turns over the groups, passing over those whose completions are all paid the same as long
// as there is another.
SamplePick PickSamples(int64_t step, std::span<const ScoredGroup> groups);

// A completion with its prompt, verdict and reward as Markdown of at most kMaxSampleBytes. Whatever
// a model or a task wrote is inside code blocks that it cannot end, in valid UTF-8 and without
// control characters; what is long is cut in its middle.
inline constexpr size_t kMaxSampleBytes = 10240;
std::string SampleMarkdown(const ScoredGroup& group, size_t index);

}  // namespace ponder
