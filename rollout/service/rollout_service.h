#pragma once

#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "model/weights.h"
#include "rollout/group_source.h"

namespace ponder {

struct RolloutServerOptions {
  std::string address = "127.0.0.1:0";
  absl::Duration heartbeat_timeout =
      absl::Seconds(20);  // a worker silent for longer has lost its leases
  absl::Duration no_worker_timeout =
      absl::Minutes(10);  // Generate fails after so long without any worker
  std::function<void(const std::string&)>
      on_event;  // "worker host:123 joined", for the log; may be empty
};

// The learner's side: a GroupSource whose groups come from workers that dial in. `weights` outlives
// it; PublishWeights copies the working bytes once, so that fetching never meets a half-updated
// policy.
class RolloutServer : public GroupSource {
 public:
  virtual int Port() const = 0;
  virtual int64_t Workers() const = 0;
};
absl::StatusOr<std::unique_ptr<RolloutServer>> StartRolloutServer(
    const Weights& weights, const std::string& fingerprint, const RolloutServerOptions& options);

struct RolloutWorkerOptions {
  std::string learner_address;
  std::string name;                                    // empty: host:pid
  absl::Duration reconnect_limit = absl::Minutes(10);  // gives up after so long without a learner
};

// The worker's side: joins, fetches weights, works leases off until the learner says goodbye or
// `cancelled` returns true. A lost learner is waited for and joined again. `weights` and `engine`
// belong together.
absl::Status RunRolloutWorker(const RolloutWorkerOptions& options, Weights& weights,
                              RolloutEngine& engine, const std::function<bool()>& cancelled);

}  // namespace ponder
