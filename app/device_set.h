#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "app/session.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/collective.h"
#include "learner/trainer.h"

namespace ponder {

// The devices of a run: a backend for each, the learner's ranks in this order.
class DeviceSet {
 public:
  kernels::Backend& First() const { return *backends.front(); }
  // The first `count` of them, joined for a trainer. What joins them lives as long as the set.
  absl::StatusOr<std::vector<TrainerDevice>> Join(int64_t count);
  absl::StatusOr<std::vector<TrainerDevice>> JoinAll() { return Join(std::ssize(backends)); }

  std::vector<std::unique_ptr<kernels::Backend>> backends;  // one at least

 private:
  std::map<int64_t, std::vector<std::unique_ptr<kernels::Collective>>> joined_;  // by their count
};

// `options.device` is a list (ParseDevices). Several of the processor share its threads.
absl::StatusOr<DeviceSet> OpenDevices(const SessionOptions& options);

}  // namespace ponder
