#include "observe/dashboard/reader_pool.h"

#include <sys/stat.h>

namespace ponder {
namespace {

constexpr size_t kMostIdle = 16;

}  // namespace

StoreIdentity IdentityOf(const std::string& path) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) return {};
  return {file.st_dev, file.st_ino};
}

absl::StatusOr<ReaderPool::Loan> ReaderPool::Open(const std::string& path) {
  const StoreIdentity identity = IdentityOf(path);
  std::list<Idle> stale;  // closed outside of the lock
  {
    absl::MutexLock lock(&mutex_);
    for (auto it = idle_.begin(); it != idle_.end();) {
      const auto here = it++;
      if (here->path != path) continue;
      if (here->identity == identity) {
        Loan loan(*this, path, identity, std::move(here->reader));
        idle_.erase(here);
        return loan;
      }
      stale.splice(stale.end(), idle_, here);
    }
  }
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<RunReader> reader, RunReader::Open(path));
  return Loan(*this, path, identity, std::move(reader));
}

ReaderPool::Loan::~Loan() {
  if (reader_ != nullptr) pool_->GiveBack({std::move(path_), identity_, std::move(reader_)});
}

void ReaderPool::GiveBack(Idle idle) {
  std::list<Idle> surplus;  // closed outside of the lock
  absl::MutexLock lock(&mutex_);
  idle_.push_front(std::move(idle));
  if (idle_.size() > kMostIdle) surplus.splice(surplus.end(), idle_, std::prev(idle_.end()));
}

}  // namespace ponder
