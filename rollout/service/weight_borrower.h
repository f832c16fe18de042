#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "rollout/service/weight_segment.h"

namespace ponder {

// Copies published weights out of the learner's shared memory (see WeightLender).
class WeightBorrower {
 public:
  // `weights` outlives it: what comes fits them.
  explicit WeightBorrower(const Weights& weights);

  // Brings policy `version` from the lender called `name` into `arena` (Weights::MakeArena).
  // NOT_FOUND where the lender has another version, UNAVAILABLE where there is none that this
  // process can reach or it ends on the way, DATA_LOSS where what it lends is no segment for these
  // weights or was overwritten, CANCELLED where `cancelled` returned true. The arena is then of no
  // use.
  absl::Status Read(const std::string& name, int64_t version, kernels::DeviceBuffer& arena,
                    const std::function<bool()>& cancelled);

 private:
  absl::Status Map(int descriptor);

  const Weights& weights_;
  const uint64_t layout_;
  // The last one, which the next version most likely lies in too: its pages are known already.
  std::unique_ptr<SegmentView> view_;
};

}  // namespace ponder
