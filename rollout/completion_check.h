#pragma once

#include <cstdint>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "rollout/engine.h"

namespace ponder {

// What a completion that comes from elsewhere must keep.
struct CompletionLimits {
  int64_t vocabulary = 0;  // ids are in [0, vocabulary)
  int64_t max_new_tokens = 0;
  // Policy versions of its tokens, both included; later tokens are of no older version than earlier
  // ones.
  int64_t oldest_version = 0;
  int64_t newest_version = 0;
};

// INVALID_ARGUMENT naming the first thing that is wrong.
absl::Status CheckCompletion(const Completion& completion, const CompletionLimits& limits);

// The same of all of them, which must be the samples sample_begin ... sample_begin + sample_count -
// 1, each once, in any order.
absl::Status CheckCompletions(const std::vector<Completion>& completions, int64_t sample_begin,
                              int64_t sample_count, const CompletionLimits& limits);

}  // namespace ponder
