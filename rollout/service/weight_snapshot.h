#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "model/weights.h"
#include "rollout/service/weight_segment.h"

namespace ponder {

// The hash of ModelFingerprint: weights of equal layouts have the same bytes in the same places.
uint64_t LayoutHash(const Weights& weights);

// The working bytes of a policy version: a copy, so that the policy may go on. Readers may follow
// while it is made.
class WeightSnapshot {
 public:
  // Of a segment that nobody writes; it holds version `version` from here on.
  WeightSnapshot(std::unique_ptr<WeightSegment> segment, int64_t version);

  int64_t Version() const { return version_; }
  int64_t Bytes() const { return segment_->Bytes(); }
  const WeightSegment& Segment() const { return *segment_; }

  // Copies the weights, once. What throws on the way leaves the snapshot of no use.
  void Fill(const Weights& weights);
  // The first `ready` bytes are there.
  void Advance(int64_t ready);
  // Bytes [begin, begin + count), once they are there; waits while Fill has not come so far.
  // UNAVAILABLE where it does not.
  absl::StatusOr<std::string_view> Await(int64_t begin, int64_t count) const;

  std::unique_ptr<WeightSegment> TakeSegment() { return std::move(segment_); }

 private:
  std::unique_ptr<WeightSegment> segment_;
  const int64_t version_;
  mutable absl::Mutex mutex_;
  int64_t ready_ ABSL_GUARDED_BY(mutex_) = 0;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
};

// Makes snapshots of weights, one after another in the same memory as long as the last one is not
// read any more when the next one begins: then a second segment is taken. Thread-safe.
class SnapshotStore {
 public:
  explicit SnapshotStore(const Weights& weights)
      : layout_(LayoutHash(weights)), bytes_(weights.ArenaBytes()) {}

  // A snapshot that is still to be filled.
  absl::StatusOr<std::shared_ptr<WeightSnapshot>> Begin(int64_t version);

 private:
  // Outlives the store where snapshots do.
  struct Spare {
    absl::Mutex mutex;
    std::unique_ptr<WeightSegment> segment ABSL_GUARDED_BY(mutex);
  };

  const uint64_t layout_;
  const int64_t bytes_;
  const std::shared_ptr<Spare> spare_ = std::make_shared<Spare>();
};

}  // namespace ponder
