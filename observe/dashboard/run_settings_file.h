#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/status.h"

namespace ponder {

// RUN/config.toml for showing and comparing: this room does not know what the keys mean.
struct RunSettings {
  std::string toml;
  std::map<std::string, std::string> keys;  // "rollout.temperature": "1.0"
};

// NOT_FOUND where there is none, INVALID_ARGUMENT where it is no TOML.
absl::StatusOr<RunSettings> ReadRunSettings(const std::string& run_directory);

// run.steps, or 0 where it is not known.
int64_t ConfiguredSteps(const std::string& run_directory);

}  // namespace ponder
