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
  size_t request = 0;  // index
  int64_t sample_begin = 0;
  int64_t sample_count = 0;
};

// Who works on what in one round of generation: cuts requests into leases, gives them to the
// workers with the most room, takes back those of workers that are lost. Every completion is
// accepted once. Not thread-safe.
class LeaseBook {
 public:
  using WorkerId = uint64_t;

  // A lease is large enough that its completions share their prompt's cache pages, small enough
  // that several workers get some of a group.
  static constexpr int64_t kLeaseCompletions = 8;
  // A lease that workers failed at so often ends the round.
  static constexpr int64_t kMaxFailures = 3;

  // Lease ids run from `first_lease_id` on; rounds of one server must not share ids.
  LeaseBook(const std::vector<GroupRequest>& requests, uint64_t first_lease_id);
  uint64_t EndLeaseId() const { return end_lease_id_; }

  // `capacity`: completions that the worker runs at once.
  void Join(WorkerId worker, int64_t capacity);
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

  std::vector<uint64_t> HeldBy(WorkerId worker) const;  // lease ids
  int64_t Reissued() const { return reissued_; }
  bool Done() const { return open_ == 0; }

 private:
  struct Worker {
    int64_t capacity = 0;
    int64_t outstanding = 0;  // completions
    std::map<uint64_t, RolloutLease> leases;
  };

  RolloutLease Take(Worker& worker, uint64_t lease_id);

  std::deque<RolloutLease> pending_;
  std::map<WorkerId, Worker> workers_;
  std::map<uint64_t, int64_t> failures_;  // by lease
  uint64_t end_lease_id_ = 0;
  int64_t open_ = 0;  // leases not completed
  int64_t reissued_ = 0;
};

}  // namespace ponder
