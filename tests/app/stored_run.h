#pragma once

#include <memory>
#include <string>

#include "observe/run_store.h"

namespace ponder {

// A run's folder with a configuration and a store of a few small steps (tests/observe/
// store_records.h), as if a run had left them: train steps 1 to `steps` of `steps_planned`, and an
// evaluation behind the last. `settings` is TOML after [run].
void WriteStoredRun(const std::string& folder, int64_t steps, int64_t steps_planned,
                    const std::string& settings = "");

}  // namespace ponder
