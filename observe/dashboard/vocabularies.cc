#include "observe/dashboard/vocabularies.h"

#include <algorithm>
#include <utility>

namespace ponder {
namespace {

constexpr size_t kMostKept = 4;

}  // namespace

absl::StatusOr<Vocabularies::Pieces> Vocabularies::Get(const ServedRun& run, RunReader& reader) {
  const StoreIdentity identity = IdentityOf(run.StorePath());
  {
    absl::MutexLock lock(&mutex_);
    const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.path == run.path && entry.identity == identity;
    });
    if (known != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, known);
      return known->pieces;
    }
  }
  PONDER_ASSIGN_OR_RETURN(std::vector<std::string> pieces, reader.Vocabulary());
  auto shared = std::make_shared<const std::vector<std::string>>(std::move(pieces));
  if (shared->empty()) return shared;
  absl::MutexLock lock(&mutex_);
  entries_.remove_if([&](const Entry& entry) { return entry.path == run.path; });
  entries_.push_front({run.path, identity, shared});
  if (entries_.size() > kMostKept) entries_.pop_back();
  return shared;
}

}  // namespace ponder
