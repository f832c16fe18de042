#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <sys/types.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "observe/run_reader.h"

namespace ponder {

// What tells that a store is still the one that was opened: a folder may be removed and made again.
struct StoreIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const StoreIdentity&) const = default;
};
// All zero where there is none.
StoreIdentity IdentityOf(const std::string& path);

// Open readers, each for one thread at a time; the few that were used last stay open. Thread-safe;
// outlives what it lends.
class ReaderPool {
 public:
  // A reader until it is destroyed.
  class Loan {
   public:
    Loan(Loan&&) = default;
    Loan& operator=(Loan&&) = delete;
    ~Loan();
    RunReader* operator->() const { return reader_.get(); }
    RunReader& operator*() const { return *reader_; }

   private:
    friend class ReaderPool;
    Loan(ReaderPool& pool, std::string path, StoreIdentity identity,
         std::unique_ptr<RunReader> reader)
        : pool_(&pool), path_(std::move(path)), identity_(identity), reader_(std::move(reader)) {}

    ReaderPool* pool_;
    std::string path_;
    StoreIdentity identity_;
    std::unique_ptr<RunReader> reader_;
  };

  // Of the store at `path`; errors as RunReader::Open's.
  absl::StatusOr<Loan> Open(const std::string& path);

 private:
  struct Idle {
    std::string path;
    StoreIdentity identity;
    std::unique_ptr<RunReader> reader;
  };

  void GiveBack(Idle idle);

  absl::Mutex mutex_;
  std::list<Idle> idle_ ABSL_GUARDED_BY(mutex_);  // the last used first
};

}  // namespace ponder
