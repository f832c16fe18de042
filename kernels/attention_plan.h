#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/operations.h"

namespace ponder::kernels {

// The segments of the sequences that decode; notes in each where its own begin. `group`: query
// heads of a key/value head.
inline std::vector<AttentionSegment> ListSegments(std::span<AttentionSequence> sequences,
                                                  int64_t group) {
  std::vector<AttentionSegment> segments;
  for (size_t i = 0; i < sequences.size(); ++i) {
    AttentionSequence& sequence = sequences[i];
    sequence.segment_begin = static_cast<int64_t>(segments.size());
    if (sequence.query_count == 0 || sequence.query_count * group > kDecodeRows) continue;
    for (int64_t number = 0; number * kSegmentKeys < sequence.key_count; ++number)
      segments.push_back({static_cast<int32_t>(i), static_cast<int32_t>(number)});
  }
  return segments;
}

}  // namespace ponder::kernels
