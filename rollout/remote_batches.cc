#include "rollout/remote_batches.h"

#include <algorithm>
#include <utility>

#include "rollout/completion_check.h"

namespace ponder {

RemoteBatches::BatchId RemoteBatches::Begin(GroupBatch batch) {
  const BatchId id = next_batch_++;
  const Entry& entry = batches_.try_emplace(id, std::move(batch)).first->second;
  leases_.Add(id, entry.assembly.Batch().requests);
  return id;
}

bool RemoteBatches::Whole() const {
  return std::ranges::all_of(
      batches_, [](const auto& entry) { return entry.second.assembly.Progress().Whole(); });
}

RemoteBatches::Ended RemoteBatches::End(BatchId batch) {
  const Entry& entry = batches_.at(batch);
  Ended ended{.stats = entry.assembly.Stats()};
  ended.stats.workers = std::ssize(entry.contributors);
  ended.stats.reissued_leases = leases_.Reissued(batch);
  ended.stats.fingerprints_differ = entry.fingerprints_differ;
  ended.withdrawn = leases_.Remove(batch);
  batches_.erase(batch);
  return ended;
}

absl::StatusOr<bool> RemoteBatches::Accept(WorkerId worker, uint64_t lease_id, Result result,
                                           int64_t vocabulary, int64_t version) {
  const RolloutLease* const found = leases_.Find(worker, lease_id);
  if (found == nullptr) return false;
  const RolloutLease lease = *found;
  Entry& entry = batches_.at(lease.batch);
  const GroupBatch& batch = entry.assembly.Batch();
  PONDER_RETURN_IF_ERROR(Annotate(
      CheckCompletions(result.completions, lease.sample_begin, lease.sample_count,
                       {.vocabulary = vocabulary,
                        .max_new_tokens = batch.requests[lease.request].sampling.max_new_tokens,
                        .oldest_version = batch.version,
                        .newest_version = version}),
      fmt::format("lease {}", lease_id)));
  leases_.Complete(worker, lease_id);
  entry.contributors.insert(worker);
  entry.fingerprints_differ |= !result.same_numerics;
  for (Completion& completion : result.completions)
    entry.assembly.Add(lease.request, std::move(completion));
  return true;
}

}  // namespace ponder
