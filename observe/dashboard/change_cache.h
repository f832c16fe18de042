#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <string>

#include "base/status.h"
#include "observe/dashboard/run_list.h"

namespace ponder {

// Another text after each change of the run's store, configuration or lock; looks at their files
// alone.
std::string ChangeMark(const ServedRun& run);

// What was read of runs, read again where they have changed or could not be read: that may pass
// without a trace in their files. Thread-safe; two threads may read the same.
template <typename T>
class ChangeCache {
 public:
  // `read` gives an absl::StatusOr<T>.
  template <typename Read>
  absl::StatusOr<T> Get(const ServedRun& run, Read read) {
    const std::string mark = ChangeMark(run);  // what is written meanwhile counts as not yet read
    {
      absl::MutexLock lock(&mutex_);
      const auto known = entries_.find(run.path);
      if (known != entries_.end() && known->second.mark == mark) return known->second.value;
    }
    absl::StatusOr<T> value = read();
    if (!value.ok()) return value;
    absl::MutexLock lock(&mutex_);
    entries_[run.path] = {mark, *value};
    return value;
  }

 private:
  struct Entry {
    std::string mark;
    T value;
  };
  absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by path
};

}  // namespace ponder
