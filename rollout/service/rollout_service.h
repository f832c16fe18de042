#pragma once

#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "model/weights.h"
#include "rollout/group_source.h"

namespace ponder {

// A worker that is not there any more.
struct WorkerGone {
  WorkerLoad last;        // as it was heard of last
  bool in_order = false;  // it said goodbye
  std::string words;      // why: its own words, else what the learner saw; of any characters
};

struct RolloutServerOptions {
  // Loopback only: the protocol has no authentication of its own. Workers of other machines come
  // through a tunnel.
  std::string address = "127.0.0.1:0";
  // A worker silent for longer has lost its leases.
  absl::Duration heartbeat_timeout = absl::Seconds(20);
  // Work fails after so long without any worker.
  absl::Duration no_worker_timeout = absl::Minutes(10);
  // "worker host:123 joined", for the log; may be empty. Called from any thread.
  std::function<void(const std::string&)> on_event;
  // May be empty. Called from any thread; the worker is not among Workers() any more.
  std::function<void(const WorkerGone&)> on_gone;
  // A worker runs on this policy version from here on; may be empty. Called from any thread.
  std::function<void(int64_t version)> on_installed;
  Clock* clock = nullptr;  // the real one where null
};

// The learner's side: a GroupSource whose groups come from workers that dial in. `weights` outlives
// it; PublishWeights copies the working bytes once, so that nobody meets a half-updated policy.
// Workers of the same user on this machine read that copy (WeightLender), others fetch it over
// gRPC; both may follow while it is made.
//
// Workers may join and leave at any time, also between steps, and what is begun goes on whether
// Work is called or not: results are taken, groups handed over and leases given out by gRPC's own
// threads; Work looks after workers that fall silent. The destructor says goodbye to the workers.
class RolloutServer : public GroupSource {
 public:
  virtual int Port() const = 0;
};

// `fingerprint` is that of the learner's numerics: its backend's, as in EngineCapabilities. The
// weights as they stand are published at once under their own version. UNAVAILABLE where the
// address cannot be had.
absl::StatusOr<std::unique_ptr<RolloutServer>> StartRolloutServer(
    const Weights& weights, const std::string& fingerprint, const RolloutServerOptions& options);

struct RolloutWorkerOptions {
  std::string learner_address;
  std::string name;                                    // empty: host:pid
  bool share_memory = true;                            // false: weights come over gRPC always
  absl::Duration reconnect_limit = absl::Minutes(10);  // gives up after so long without a learner
};

// The worker's side: joins, fetches weights, works leases off until the learner says goodbye or
// `cancelled` returns true. A lost learner is waited for and joined again. `weights` and `engine`
// belong together.
absl::Status RunRolloutWorker(const RolloutWorkerOptions& options, Weights& weights,
                              RolloutEngine& engine, const std::function<bool()>& cancelled);

}  // namespace ponder
