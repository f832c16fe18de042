#include "rollout/lease_book.h"

#include <algorithm>

#include "base/check.h"

namespace ponder {

LeaseBook::LeaseBook(const std::vector<GroupRequest>& requests, uint64_t first_lease_id)
    : end_lease_id_(first_lease_id) {
  for (size_t i = 0; i < requests.size(); ++i) {
    for (int64_t begin = 0; begin < requests[i].completions; begin += kLeaseCompletions) {
      pending_.push_back(
          {.id = end_lease_id_++,
           .request = i,
           .sample_begin = begin,
           .sample_count = std::min(kLeaseCompletions, requests[i].completions - begin)});
    }
  }
  open_ = std::ssize(pending_);
}

void LeaseBook::Join(WorkerId worker, int64_t capacity) {
  PONDER_CHECK(capacity > 0);
  PONDER_CHECK(workers_.try_emplace(worker, Worker{.capacity = capacity}).second);
}

int64_t LeaseBook::Leave(WorkerId worker) {
  const auto place = workers_.find(worker);
  if (place == workers_.end()) return 0;
  const std::map<uint64_t, RolloutLease>& leases = place->second.leases;
  const int64_t count = std::ssize(leases);
  // To the front, in order: what is late already goes out first.
  for (auto lease = leases.rbegin(); lease != leases.rend(); ++lease)
    pending_.push_front(lease->second);
  workers_.erase(place);
  reissued_ += count;
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
  Take(workers_.at(worker), lease_id);
  --open_;
}

absl::Status LeaseBook::Fail(WorkerId worker, uint64_t lease_id, const std::string& error) {
  pending_.push_back(Take(workers_.at(worker), lease_id));
  ++reissued_;
  const int64_t failures = ++failures_[lease_id];
  if (failures < kMaxFailures) return absl::OkStatus();
  return ResourceExhausted("workers failed {} times at one lease; the last one said: {}", failures,
                           error);
}

std::vector<uint64_t> LeaseBook::HeldBy(WorkerId worker) const {
  std::vector<uint64_t> ids;
  const auto place = workers_.find(worker);
  if (place == workers_.end()) return ids;
  for (const auto& [id, lease] : place->second.leases) ids.push_back(id);
  return ids;
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
