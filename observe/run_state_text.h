#pragma once

#include <string>
#include <string_view>

#include "observe/run_store.h"

namespace ponder {

// "step 41 of 200, generating 61 of 128, 3 workers, 12 min left": what a run does, for people.
// `status` is "running" (a process works on it), "finished" or "stopped"; of the last two it says
// how far the run came.
std::string RunStateText(std::string_view status, const RunState& state, int64_t last_step);

// "45 s", "12 min", "3 h 20 min", "2 d 5 h".
std::string DurationText(double seconds);

}  // namespace ponder
