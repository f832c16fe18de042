#pragma once

#include <string>
#include <vector>

#include "app/config.h"
#include "app/run_directory.h"
#include "base/status.h"
#include "observe/run_store.h"

namespace ponder {

// What a run was told from some checkpoint on: `--resume --set` may change the settings on the way,
// while config.toml stays what the run was begun with.
struct RunSettings {
  CheckpointName behind;  // an empty phase: the start
  RunConfig config;
};

// To be called where a run goes on behind `behind`: what comes is done with `config`. Forgets the
// settings of what was done behind it before, and keeps these where they are news.
absl::Status NoteSettings(RunStore& store, const std::string& config_path,
                          const CheckpointName& behind, const RunConfig& config);

// All settings of a run, in the order of the checkpoints; the first are those of config.toml.
absl::StatusOr<std::vector<RunSettings>> ReadSettings(RunStore& store,
                                                      const std::string& config_path);

}  // namespace ponder
