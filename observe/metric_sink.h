#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

// The numbers of one step, by name: "reward/mean", "exactness/logprob_max_abs_diff", ...
using Metrics = std::map<std::string, double>;

// One call in, many sinks. Called from one thread.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual absl::Status WriteStep(int64_t step, const Metrics& metrics) = 0;
  // The completions of a training step, behind its metrics; for sinks that show more than numbers.
  virtual absl::Status WriteGroups(int64_t /*step*/, std::span<const ScoredGroup> /*groups*/) {
    return absl::OkStatus();
  }
  virtual absl::Status Flush() { return absl::OkStatus(); }
};

// TensorBoard event file in DIR (tfevents.*, TFRecord framing with masked CRC32C). Resumed runs
// begin a new file in the same folder. Of a step's completions it holds histograms
// ("completions/length", "completions/reward", "completions/advantage", "tokens/logprob",
// "tokens/entropy") and a task's best and worst answer as text ("samples/best", "samples/worst"):
// at most 24 KiB a step.
absl::StatusOr<std::unique_ptr<MetricSink>> CreateEventFileSink(const std::string& directory);

// {"step":12,"metrics":{"reward/mean":0.53,...}} a line, written out at once; numbers that JSON
// does not have (NaN, infinities) are null. Where the reader of `out` has gone the rest is dropped:
// the run goes on, its store holds everything. `out` outlives the sink.
std::unique_ptr<MetricSink> CreateJsonLineSink(std::ostream& out);

}  // namespace ponder
