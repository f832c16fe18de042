#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

// RUN/config.toml for showing and comparing: this room does not know what the keys mean.
struct SettingsFile {
  std::string toml;
  std::map<std::string, std::string> keys;  // "rollout.temperature": "1.0"
};

// NOT_FOUND where there is none, INVALID_ARGUMENT where it is no TOML.
absl::StatusOr<SettingsFile> ReadSettingsFile(const std::string& run_directory);

// run.steps, or 0 where it is not known.
int64_t ConfiguredSteps(const std::string& run_directory);

struct SettingDifference {
  std::string key;
  std::vector<std::optional<std::string>> values;  // of each file; empty: it has no such key
};

// The keys that do not have the same value in all files, by name; without run.name and
// run.directory, which no two runs share.
std::vector<SettingDifference> SettingDifferences(std::span<const SettingsFile> files);

}  // namespace ponder
