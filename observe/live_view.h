#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/records.h"
#include "observe/metric_sink.h"
#include "observe/terminal_text.h"

namespace ponder {

// A completion to look at while a run goes on.
struct ConsoleSample {
  int64_t step = 0;
  std::string question;
  std::string text;
  VerdictStatus status = VerdictStatus::kUnspecified;
  double reward = 0;
};

// What stands in the last lines of a terminal while a run goes on.
struct LiveView {
  std::string label;  // of the bar; no bar where total == 0
  int64_t done = 0;
  int64_t total = 0;
  std::vector<double> rewards;  // by step
  Metrics last;                 // of the last step
  std::optional<ConsoleSample> sample;
};

// Lines of fewer columns than the terminal has, so that none wraps; what has no room in its rows is
// left out, the bar last.
std::vector<std::string> LayOutLiveView(const LiveView& view, TerminalSize size, bool colours);

}  // namespace ponder
