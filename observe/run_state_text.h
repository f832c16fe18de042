#pragma once

#include <string>
#include <string_view>

#include "observe/run_store.h"

namespace ponder {

// "running" (a process works on the run's folder), "finished", "failed" or "stopped". A store of an
// older program has no activity; such a run has finished at its last step. `state.steps` is 0 where
// it is not known.
std::string RunStatus(const std::string& run_directory, const RunState& state, int64_t last_step);

// "step 41 of 200, generating 61 of 128, 3 workers, 12 min left": what a run does, for people.
// `status` is RunStatus's; of a run that does not run it says how far it came, and why it failed.
std::string RunStateText(std::string_view status, const RunState& state, int64_t last_step);

}  // namespace ponder
