#include "observe/run_state_text.h"

#include <fmt/format.h>

#include <cmath>

#include "observe/run_lock.h"
#include "observe/terminal_text.h"

namespace ponder {
namespace {

std::string Steps(int64_t step, int64_t steps) {
  return steps > 0 ? fmt::format("step {} of {}", step, steps) : fmt::format("step {}", step);
}

}  // namespace

std::string RunStatus(const std::string& run_directory, const RunState& state, int64_t last_step) {
  if (RunLock::IsHeld(run_directory)) return "running";
  if (state.activity == "finished" || state.activity == "failed") return state.activity;
  const bool whole = state.steps > 0 && last_step >= state.steps;
  return state.activity.empty() && whole ? "finished" : "stopped";
}

std::string RunStateText(std::string_view status, const RunState& state, int64_t last_step) {
  if (status == "finished") {
    return fmt::format("finished after {}", Steps(last_step, state.steps));
  }
  if (status != "running") {
    const std::string where =
        last_step == 0 ? "before the first step" : "after " + Steps(last_step, state.steps);
    return status == "failed" ? fmt::format("failed {}: {}", where, state.detail)
                              : "stopped " + where;
  }
  if (state.activity.empty()) return last_step > 0 ? Steps(last_step, state.steps) : "starting";
  std::string text;
  if (state.step > 0) text = Steps(state.step, state.steps) + ", ";
  text += state.activity;
  if (state.total > 0) text += fmt::format(" {} of {}", state.done, state.total);
  if (state.workers > 0) {
    text += fmt::format(", {} worker{}", state.workers, state.workers == 1 ? "" : "s");
  }
  // What is longer than a life is as good as not known.
  if (std::isfinite(state.left_s) && state.left_s > 0 && state.left_s < 1e9) {
    text += fmt::format(", {} left", HumanDuration(state.left_s));
  }
  return text;
}

}  // namespace ponder
