#pragma once

#include <absl/time/time.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "observe/run_reader.h"

namespace ponder {

// What a group has of a metric of its step.
struct MetricPart {
  double sum = 0;
  double count = 0;  // samples, tokens or groups
};

struct MetricParts {
  enum class Kind {
    kMean,    // the metric is the sum over the groups of `sum` divided by that of `count`
    kSpread,  // a standard deviation; `sum`: squared distances from the mean
    kPull,    // of the update; `sum`: |advantage| times tokens, which is what pulls on the policy
  };
  Kind kind = Kind::kMean;
  std::vector<MetricPart> groups;
};

// For metrics that are made of samples: rewards and their parts, lengths, outcomes of groups,
// verdicts, parts of verdicts, entropy, clipping, losses and gradients. Empty for others: times,
// speeds, the optimizer's settings. Those that are in token arrays or parts alone are read one
// sample after the other; DEADLINE_EXCEEDED where that takes longer than `time_limit`.
absl::StatusOr<std::optional<MetricParts>> ReadMetricParts(std::string_view metric,
                                                           std::span<const GroupSummary> groups,
                                                           RunReader& reader,
                                                           absl::Duration time_limit);

// A token that is one of those that made a metric.
struct TellingToken {
  int64_t sample = 0;
  int64_t position = 0;
  int32_t id = 0;
  double value = 0;
  std::string_view what;  // "entropy", "log-prob", "cut off above", "cut off below"
};

// The `most` of them that stand out among the samples of these groups, the first the most; none for
// metrics that are not made of tokens. Ends early after `time_limit`.
absl::StatusOr<std::vector<TellingToken>> TellingTokens(std::string_view metric,
                                                        std::span<const GroupSummary> groups,
                                                        RunReader& reader, size_t most,
                                                        absl::Duration time_limit);

}  // namespace ponder
