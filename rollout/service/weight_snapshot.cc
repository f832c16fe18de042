#include "rollout/service/weight_snapshot.h"

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "rollout/service/model_fingerprint.h"

namespace ponder {
namespace {

// What is copied before readers hear of it: about 20 microseconds' work, which is how long the last
// reader is behind.
constexpr int64_t kPieceBytes = 256 << 10;
// Copying takes milliseconds; a learner that is stopped in the middle does not hold gRPC's threads.
constexpr absl::Duration kPieceLimit = absl::Seconds(20);

}  // namespace

uint64_t LayoutHash(const Weights& weights) { return StableHash(ModelFingerprint(weights)); }

WeightSnapshot::WeightSnapshot(std::unique_ptr<WeightSegment> segment, int64_t version)
    : segment_(std::move(segment)), version_(version) {
  segment_->Begin(version);
}

void WeightSnapshot::Fill(const Weights& weights) {
  try {
    for (int64_t begin = 0; begin < Bytes(); begin += kPieceBytes) {
      const int64_t count = std::min(kPieceBytes, Bytes() - begin);
      weights.ExportArena(begin, count, segment_->Data() + begin);
      Advance(begin + count);
    }
  } catch (...) {
    segment_->Begin(SegmentHeader::kNoVersion);
    absl::MutexLock lock(&mutex_);
    failed_ = true;
    throw;
  }
}

void WeightSnapshot::Advance(int64_t ready) {
  segment_->Advance(ready);
  absl::MutexLock lock(&mutex_);
  ready_ = ready;
}

absl::StatusOr<std::string_view> WeightSnapshot::Await(int64_t begin, int64_t count) const {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return failed_ || ready_ >= begin + count;
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&there), kPieceLimit) || failed_) {
    return Unavailable("publishing policy version {} came no further than byte {} of {}", version_,
                       ready_, Bytes());
  }
  return std::string_view(segment_->Data() + begin, count);
}

absl::StatusOr<std::shared_ptr<WeightSnapshot>> SnapshotStore::Begin(int64_t version) {
  std::unique_ptr<WeightSegment> segment;
  {
    absl::MutexLock lock(&spare_->mutex);
    segment = std::move(spare_->segment);
  }
  if (segment == nullptr) {
    PONDER_ASSIGN_OR_RETURN(segment, WeightSegment::Create(layout_, bytes_));
  }
  const auto put_back = [spare = spare_](WeightSnapshot* snapshot) {
    std::unique_ptr<WeightSegment> returned = snapshot->TakeSegment();
    delete snapshot;
    absl::MutexLock lock(&spare->mutex);
    if (spare->segment == nullptr) spare->segment = std::move(returned);
  };
  return std::shared_ptr<WeightSnapshot>(new WeightSnapshot(std::move(segment), version), put_back);
}

}  // namespace ponder
