#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "observe/run_lock.h"

namespace ponder {

// A checkpoint's place in a run: "sft-000016" or "step-000100".
struct CheckpointName {
  std::string phase;  // "sft", "step"
  int64_t step = 0;

  std::string ToString() const;
  bool operator==(const CheckpointName&) const = default;
};
std::optional<CheckpointName> ParseCheckpointName(const std::string& name);

// Where a run keeps one, and those that are there, oldest first (sft before step). What is not
// whole has another name.
std::string CheckpointPath(const std::string& run, const CheckpointName& name);
std::vector<CheckpointName> ListCheckpoints(const std::string& run);

// RUN/: config.toml, run.db, checkpoints/, event files, log.txt. Holds a lock for as long as it
// lives, so that two processes never work on one run.
class RunDirectory {
 public:
  // A new one; ALREADY_EXISTS where it holds a run.
  static absl::StatusOr<RunDirectory> Create(const std::string& path,
                                             const std::string& config_toml);
  // One that is there; NOT_FOUND where it holds no run. FAILED_PRECONDITION where another process
  // works on it.
  static absl::StatusOr<RunDirectory> Open(const std::string& path);

  const std::string& Path() const { return path_; }
  std::string ConfigPath() const { return path_ + "/config.toml"; }
  std::string StorePath() const { return path_ + "/run.db"; }
  std::string LogPath() const { return path_ + "/log.txt"; }
  std::string CheckpointPath(const CheckpointName& name) const {
    return ponder::CheckpointPath(path_, name);
  }

  // Those that are there, as ListCheckpoints has them. Removes what a killed save left behind.
  std::vector<CheckpointName> Checkpoints() const;
  // Removes all but the newest `keep`.
  void PruneCheckpoints(int64_t keep) const;

 private:
  RunDirectory(std::string path, RunLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  RunLock lock_;
};

}  // namespace ponder
