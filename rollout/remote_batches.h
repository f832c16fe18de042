#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "rollout/group_assembly.h"
#include "rollout/lease_book.h"

namespace ponder {

// The batches that workers generate: which leases are out, what has come back. Not thread-safe.
class RemoteBatches {
 public:
  using WorkerId = LeaseBook::WorkerId;
  using BatchId = GroupSource::BatchId;

  BatchId Begin(GroupBatch batch);
  const GroupBatch& Batch(BatchId batch) const { return batches_.at(batch).assembly.Batch(); }
  BatchProgress Progress(BatchId batch) const { return batches_.at(batch).assembly.Progress(); }
  bool Whole() const;  // all of them
  struct Ended {
    GenerateStats stats;
    std::vector<LeaseBook::Assignment> withdrawn;  // workers still hold these
  };
  Ended End(BatchId batch);

  LeaseBook& Leases() { return leases_; }
  const LeaseBook& Leases() const { return leases_; }

  // What a worker sent for a lease that it holds.
  struct Result {
    std::vector<Completion> completions;
    bool same_numerics = false;  // as the learner's
  };
  // False where nobody waits for it any more. INVALID_ARGUMENT where it is not what was leased: the
  // lease is still the worker's then. `vocabulary` as in CompletionLimits; `version` is published.
  absl::StatusOr<bool> Accept(WorkerId worker, uint64_t lease_id, Result result, int64_t vocabulary,
                              int64_t version);

 private:
  struct Entry {
    explicit Entry(GroupBatch batch) : assembly(std::move(batch)) {}

    GroupAssembly assembly;
    std::set<WorkerId> contributors;
    bool fingerprints_differ = false;
  };

  std::map<BatchId, Entry> batches_;
  LeaseBook leases_;
  BatchId next_batch_ = 1;
};

}  // namespace ponder
