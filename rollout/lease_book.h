#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "rollout/group_source.h"

namespace ponder {

// Completions of one request for one worker.
struct RolloutLease {
  uint64_t id = 0;
  GroupSource::BatchId batch = 0;
  size_t request = 0;  // index in its batch
  int64_t sample_begin = 0;
  int64_t sample_count = 0;
};

// Who works on what: cuts the requests of batches into leases, gives them to the workers with the
// most room, those of earlier batches first, takes back those of workers that are lost. Every
// completion is accepted once. Not thread-safe.
class LeaseBook {
 public:
  using WorkerId = uint64_t;
  using BatchId = GroupSource::BatchId;

  // A lease is large enough that its completions share their prompt's cache pages, small enough
  // that several workers get some of a group.
  static constexpr int64_t kLeaseCompletions = 8;
  // A lease that workers failed at so often is an error.
  static constexpr int64_t kMaxFailures = 3;

  // Lease ids run from 1 on and never come again.
  void Add(BatchId batch, const std::vector<GroupRequest>& requests);

  // `capacity`: completions that the worker runs at once.
  void Join(WorkerId worker, int64_t capacity);
  int64_t Outstanding(WorkerId worker) const;  // completions that it works on
  // Its leases are for others now; returns how many.
  int64_t Leave(WorkerId worker);

  struct Assignment {
    WorkerId worker = 0;
    RolloutLease lease;
  };
  // Leases to hand out now: a worker holds as many as fill its places and one more, so that no
  // place waits for the network.
  std::vector<Assignment> Assign();

  // The lease, where `worker` holds it; null for late and repeated results.
  const RolloutLease* Find(WorkerId worker, uint64_t lease_id) const;
  // Its completions have been accepted. Requires Find.
  void Complete(WorkerId worker, uint64_t lease_id);
  // The worker could not do it: it is for others. Requires Find. RESOURCE_EXHAUSTED with `error`
  // where it failed too often.
  absl::Status Fail(WorkerId worker, uint64_t lease_id, const std::string& error);

  int64_t Reissued(BatchId batch) const;
  bool Done(BatchId batch) const;  // all its leases are completed
  // Forgets the batch; returns those of its leases that workers hold.
  std::vector<Assignment> Remove(BatchId batch);

 private:
  struct Worker {
    int64_t capacity = 0;
    int64_t outstanding = 0;  // completions
    std::map<uint64_t, RolloutLease> leases;
  };

  struct Counts {
    int64_t open = 0;  // leases not completed
    int64_t reissued = 0;
  };

  RolloutLease Take(Worker& worker, uint64_t lease_id);

  std::deque<RolloutLease> pending_;
  std::map<WorkerId, Worker> workers_;
  std::map<uint64_t, int64_t> failures_;  // by lease
  std::map<BatchId, Counts> batches_;
  uint64_t next_lease_ = 1;
};

}  // namespace ponder
