#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/status.h"
#include "rollout/service/weight_snapshot.h"

namespace ponder {

struct WeightLenderOptions {
  // A process that is stopped in the middle of reading keeps memory from being used again only so
  // long; where it goes on later, it finds another version there.
  absl::Duration loan_limit = absl::Seconds(30);
  absl::Duration look_every = absl::Seconds(3);  // for loans past their limit
  int64_t most_loans = 256;                      // at once; further processes take gRPC
  Clock* clock = &RealClock();
};

// Lends the memory of the published weights to processes of this user on this machine, over a Unix
// socket. A connection is a loan: the process names the version that it wants, is answered with
// that version and the segment's descriptor (or SegmentHeader::kNoVersion where another one is
// current), and closes when it has read. Until then, or until a limit has passed, nothing else is
// written there; a process that is killed has closed.
class WeightLender {
 public:
  // `current`: the snapshot that is published, or null; called from a thread of the lender's own.
  static absl::StatusOr<std::unique_ptr<WeightLender>> Start(
      std::function<std::shared_ptr<const WeightSnapshot>()> current,
      const WeightLenderOptions& options = {});
  ~WeightLender();

  // In the abstract namespace: there while the lender is, in containers that share its network.
  const std::string& Name() const { return name_; }

 private:
  WeightLender(std::string name, int listener, int stop,
               std::function<std::shared_ptr<const WeightSnapshot>()> current,
               const WeightLenderOptions& options);
  void Serve();

  const std::string name_;
  const int listener_;
  const int stop_;  // an eventfd, written to when it is over
  const std::function<std::shared_ptr<const WeightSnapshot>()> current_;
  const WeightLenderOptions options_;
  std::thread thread_;
};

}  // namespace ponder
