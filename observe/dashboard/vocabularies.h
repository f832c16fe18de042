#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/dashboard/reader_pool.h"
#include "observe/dashboard/run_list.h"
#include "observe/run_reader.h"

namespace ponder {

// The vocabularies of the runs that were looked at last: they are large, and every sample that is
// shown needs its run's. Thread-safe.
class Vocabularies {
 public:
  using Pieces = std::shared_ptr<const std::vector<std::string>>;

  // Empty where the store has none (yet).
  absl::StatusOr<Pieces> Get(const ServedRun& run, RunReader& reader);

 private:
  struct Entry {
    std::string path;
    StoreIdentity identity;
    Pieces pieces;
  };
  absl::Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // the last used first
};

}  // namespace ponder
