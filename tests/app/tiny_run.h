#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace ponder {

// Leaves in `folder` a tiny model (model/), tasks, examples of a cold start and run.toml: a run of
// so many steps, 48 completions each, that takes a second or two.
absl::Status WriteTinyRun(const std::string& folder, int64_t steps);

}  // namespace ponder
