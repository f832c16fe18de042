#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "observe/dashboard/reader_pool.h"
#include "observe/run_folders.h"

namespace ponder {

// A run that is served.
struct ServedRun {
  std::string id;    // in addresses: the name, with ~2, ~3, ... where it is another run's already
  std::string name;  // the last part of the folder's path
  std::string path;

  std::string StorePath() const { return RunStorePath(path); }
};

// The runs of some folders, each of which is one itself or holds some. New ones appear by
// themselves; a run keeps its id for as long as the list lives. Thread-safe.
class RunList {
 public:
  explicit RunList(std::vector<std::string> folders) : folders_(std::move(folders)) {}

  // At most kMostRuns, by path. Looks through the folders.
  std::vector<ServedRun> Runs();
  // Looks through them only for an id that it has not seen.
  absl::StatusOr<ServedRun> Find(std::string_view id);
  absl::StatusOr<ReaderPool::Loan> OpenReader(const ServedRun& run);

 private:
  static constexpr size_t kMostRuns = 1000;

  std::optional<ServedRun> FindKnown(std::string_view id);

  const std::vector<std::string> folders_;
  ReaderPool readers_;
  absl::Mutex mutex_;
  std::map<std::string, ServedRun> by_path_ ABSL_GUARDED_BY(mutex_);  // all that were ever seen
};

}  // namespace ponder
