#include "rollout/lease_book.h"

#include <algorithm>

#include "base/check.h"

namespace ponder {

void LeaseBook::Add(BatchId batch, const std::vector<GroupRequest>& requests) {
  const auto [place, is_new] = batches_.try_emplace(batch);
  PONDER_CHECK(is_new);
  for (size_t i = 0; i < requests.size(); ++i) {
    for (int64_t begin = 0; begin < requests[i].completions; begin += kLeaseCompletions) {
      pending_.push_back(
          {.id = next_lease_++,
           .batch = batch,
           .request = i,
           .sample_begin = begin,
           .sample_count = std::min(kLeaseCompletions, requests[i].completions - begin)});
      ++place->second.open;
    }
  }
}

void LeaseBook::Join(WorkerId worker, int64_t capacity) {
  PONDER_CHECK(capacity > 0);
  PONDER_CHECK(workers_.try_emplace(worker, Worker{.capacity = capacity}).second);
}

int64_t LeaseBook::Outstanding(WorkerId worker) const {
  const auto found = workers_.find(worker);
  return found == workers_.end() ? 0 : found->second.outstanding;
}

int64_t LeaseBook::Leave(WorkerId worker) {
  const auto place = workers_.find(worker);
  if (place == workers_.end()) return 0;
  const std::map<uint64_t, RolloutLease>& leases = place->second.leases;
  const int64_t count = std::ssize(leases);
  // To the front, in order: what is late already goes out first.
  for (auto lease = leases.rbegin(); lease != leases.rend(); ++lease) {
    pending_.push_front(lease->second);
    ++batches_.at(lease->second.batch).reissued;
  }
  workers_.erase(place);
  return count;
}

std::vector<LeaseBook::Assignment> LeaseBook::Assign() {
  std::vector<Assignment> assignments;
  while (!pending_.empty()) {
    // The one with the smallest share of its places taken.
    WorkerId id = 0;
    Worker* least = nullptr;
    for (auto& [candidate_id, candidate] : workers_) {
      if (candidate.outstanding >= candidate.capacity + kLeaseCompletions) continue;
      // a / b < c / d, without rounding
      if (least == nullptr ||
          candidate.outstanding * least->capacity < least->outstanding * candidate.capacity) {
        id = candidate_id;
        least = &candidate;
      }
    }
    if (least == nullptr) break;
    Worker& worker = *least;
    const RolloutLease lease = pending_.front();
    pending_.pop_front();
    worker.outstanding += lease.sample_count;
    worker.leases.emplace(lease.id, lease);
    assignments.push_back({id, lease});
  }
  return assignments;
}

const RolloutLease* LeaseBook::Find(WorkerId worker, uint64_t lease_id) const {
  const auto place = workers_.find(worker);
  if (place == workers_.end()) return nullptr;
  const auto lease = place->second.leases.find(lease_id);
  return lease == place->second.leases.end() ? nullptr : &lease->second;
}

void LeaseBook::Complete(WorkerId worker, uint64_t lease_id) {
  const RolloutLease lease = Take(workers_.at(worker), lease_id);
  --batches_.at(lease.batch).open;
  failures_.erase(lease_id);
}

absl::Status LeaseBook::Fail(WorkerId worker, uint64_t lease_id, const std::string& error) {
  const RolloutLease lease = Take(workers_.at(worker), lease_id);
  pending_.push_back(lease);
  ++batches_.at(lease.batch).reissued;
  const int64_t failures = ++failures_[lease_id];
  if (failures < kMaxFailures) return absl::OkStatus();
  return ResourceExhausted("workers failed {} times at one lease; the last one said: {}", failures,
                           error);
}

int64_t LeaseBook::Reissued(BatchId batch) const { return batches_.at(batch).reissued; }

bool LeaseBook::Done(BatchId batch) const { return batches_.at(batch).open == 0; }

std::vector<LeaseBook::Assignment> LeaseBook::Remove(BatchId batch) {
  PONDER_CHECK(batches_.erase(batch) == 1);
  const auto belongs = [batch](const RolloutLease& lease) { return lease.batch == batch; };
  for (const RolloutLease& lease : pending_) {
    if (belongs(lease)) failures_.erase(lease.id);
  }
  std::erase_if(pending_, belongs);
  std::vector<Assignment> held;
  for (const auto& [id, worker] : workers_) {
    for (const auto& [lease_id, lease] : worker.leases) {
      if (belongs(lease)) held.push_back({id, lease});
    }
  }
  for (const Assignment& assignment : held) {
    Take(workers_.at(assignment.worker), assignment.lease.id);
    failures_.erase(assignment.lease.id);
  }
  return held;
}

RolloutLease LeaseBook::Take(Worker& worker, uint64_t lease_id) {
  const auto place = worker.leases.find(lease_id);
  PONDER_CHECK(place != worker.leases.end());
  const RolloutLease lease = place->second;
  worker.leases.erase(place);
  worker.outstanding -= lease.sample_count;
  return lease;
}

}  // namespace ponder
