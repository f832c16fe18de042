#include "model/attention_runs.h"

#include <algorithm>

#include "kernels/kv_cache.h"

namespace ponder {
namespace {

using kernels::AttentionSequence;

// What a row's chains leave between the two kernels is as much as the keys and values of some 64
// positions, and the cache of the device catches a short prefix anyway.
constexpr int64_t kLeastKeys = 128;

// Keys in front that lie in the same pages.
int64_t SharedKeys(const AttentionSequence& a, const std::vector<int32_t>& pages_a,
                   const AttentionSequence& b, const std::vector<int32_t>& pages_b) {
  const auto differing = std::ranges::mismatch(pages_a, pages_b).in1;
  const int64_t keys = (differing - pages_a.begin()) * kernels::kPageTokens;
  return std::min({keys, a.key_count, b.key_count}) / kernels::kRunKeys * kernels::kRunKeys;
}

}  // namespace

std::vector<kernels::AttentionRun> FindRuns(std::span<AttentionSequence> sequences,
                                            const std::vector<std::vector<int32_t>>& page_tables,
                                            int64_t group) {
  std::vector<kernels::AttentionRun> runs;
  for (size_t first = 0; first < sequences.size();) {
    int64_t keys = kLeastKeys;
    size_t end = first;
    while (end < sequences.size() && sequences[end].query_count == 1 &&
           static_cast<int64_t>(end - first + 1) * group <= kernels::kRunRows) {
      if (end > first) {
        const int64_t shared =
            SharedKeys(sequences[first], page_tables[first], sequences[end], page_tables[end]);
        if (shared < keys) break;
        if (end == first + 1) keys = shared;
      }
      ++end;
    }
    if (end - first > 1) {
      runs.push_back({.first = static_cast<int32_t>(first),
                      .count = static_cast<int32_t>(end - first),
                      .keys = static_cast<int32_t>(keys)});
      for (AttentionSequence& sequence : sequences.subspan(first, end - first))
        sequence.shared_keys = keys;
    }
    first = std::max(end, first + 1);
  }
  return runs;
}

}  // namespace ponder
