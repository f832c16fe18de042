#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "observe/metric_sink.h"

namespace ponder {

// What a person watches: a line a step on standard error, and inside a step a progress bar where it
// is a terminal (nothing where it is not). Thread-safe.
class Console {
 public:
  virtual ~Console() = default;
  virtual void Say(const std::string& line) = 0;
  virtual void Warn(const std::string& line) = 0;
  // "step 12/60  generate  ▇▇▇▇░░  61/128"; done == total removes the bar.
  virtual void Progress(const std::string& label, int64_t done, int64_t total) = 0;
};

// Writes to `out` and, without bars and colours, to `log_path` where it is not empty.
std::unique_ptr<Console> CreateConsole(std::FILE* out, const std::string& log_path);

// "step 12/60  reward 0.53 (correct 0.45, format 0.08)  length 41  useful 75 %  entropy 0.31
// grad 0.8  gen 310 tok/s  learn 500 tok/s  left 14 min". Metrics that are missing are left out;
// "groups/..." are shares from 0 to 1; what should be zero ("exactness/logprob_max_abs_diff",
// "dropped/total", "optimizer/skipped_updates") is only said where it is not.
std::string FormatStepLine(int64_t step, int64_t steps, const Metrics& metrics);

}  // namespace ponder
