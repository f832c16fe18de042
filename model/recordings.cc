#include "model/recordings.h"

#include <algorithm>
#include <bit>

namespace ponder {

// Steps of an eighth of the power of two below, and of 1 up to 8.
int64_t Recordings::PaddedRows(int64_t rows) {
  const int64_t power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows)));
  const int64_t step = power <= 8 ? 1 : power / 8;
  return (rows + step - 1) / step * step;
}

int64_t Recordings::PaddedKeys(int64_t keys) {
  const int64_t segments =
      std::max<int64_t>(1, (keys + kernels::kSegmentKeys - 1) / kernels::kSegmentKeys);
  return kernels::kSegmentKeys *
         static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(segments)));
}

void Recordings::Run(kernels::Backend& backend, const Key& key, const std::function<void()>& work) {
  // Sizes up to 1,024 make 64 of them; more means that memory has moved.
  constexpr size_t kMost = 128;
  const auto found = recordings_.find(key);
  if (found == recordings_.end()) {
    if (recordings_.size() >= kMost) recordings_.clear();
    recordings_.emplace(key, nullptr);
    return work();
  }
  std::unique_ptr<kernels::Recording>& recording = found->second;
  if (recording == nullptr) recording = backend.Record(work);
  if (recording == nullptr) return;  // it was done
  recording->Replay();
  ++replays_;
}

}  // namespace ponder
