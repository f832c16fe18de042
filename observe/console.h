#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "observe/live_view.h"
#include "observe/metric_sink.h"

namespace ponder {

// What a person watches: a line a step on standard error, and below the lines, where it is a
// terminal that can move its cursor, a view that is drawn again in place: the reward's curve, the
// last step's phases, a sample, a progress bar (nothing of it elsewhere). Thread-safe.
class Console {
 public:
  virtual ~Console() = default;
  virtual void Say(const std::string& line) = 0;
  virtual void Warn(const std::string& line) = 0;
  // "step 12/60  generate  ▇▇▇▇░░  61/128"; done >= total removes the bar. A total of 1 is work
  // that cannot be counted: the label alone.
  virtual void Progress(const std::string& label, int64_t done, int64_t total) = 0;
  // A step has ended: its line, and in the view its place on the curve and its phases.
  virtual void EndStep(int64_t step, int64_t steps, const Metrics& metrics);
  // For the view: rewards of the steps before, where a run is resumed.
  virtual void SetRewards(const std::vector<double>& /*rewards*/) {}
  // For the view: stays until the next one comes.
  virtual void ShowSample(const ConsoleSample& /*sample*/) {}
};

enum class ConsoleView { kLive, kPlain };

// Writes to `out` and, the lines alone and without colours, to `log_path` where it is not empty.
// kPlain: lines alone on a terminal too.
std::unique_ptr<Console> CreateConsole(std::FILE* out, const std::string& log_path,
                                       ConsoleView view = ConsoleView::kLive);

// "step 12/60  reward 0.53 (correct 0.45, format 0.08)  length 41  useful 75 %  entropy 0.31
// grad 0.8  gen 310 tok/s  learn 500 tok/s  left 14 min". Metrics that are missing are left out;
// "groups/..." are shares from 0 to 1; what should be zero ("exactness/logprob_max_abs_diff",
// "dropped/total", "optimizer/skipped_updates") is only said where it is not.
std::string FormatStepLine(int64_t step, int64_t steps, const Metrics& metrics);

}  // namespace ponder
