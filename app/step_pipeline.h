#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "app/judge.h"
#include "base/clock.h"
#include "base/status.h"
#include "rollout/group_source.h"
#include "verifiers/verifier.h"

namespace ponder {

// A step whose groups are all judged.
struct CollectedStep {
  std::vector<JudgedGroup> groups;  // in the order of the requests
  GenerateStats stats;
  double generate_s = 0;  // that Collect waited for completions
  double verdicts_s = 0;  // and then for verdicts alone
};

// Steps under way between their requests and their verdicts. Groups go to the verifier as they
// finish, in a thread of their own, those of the oldest step first; a step that waits for its last
// completion or verdict keeps no later one from being generated and judged. Begin and Collect from
// one thread.
class StepPipeline {
 public:
  struct Parts {  // all outlive the pipeline
    GroupSource* groups = nullptr;
    Verifier* verifier = nullptr;
    JudgeOptions judge;
    Clock* clock = nullptr;
  };

  explicit StepPipeline(Parts parts);
  // Withdraws what is under way; waits for the group that is being judged.
  ~StepPipeline();

  // Submits a step's requests; `version` is published. Steps are begun in their order.
  absl::Status Begin(int64_t step, std::vector<GroupRequest> requests, int64_t version);

  // Generates until all groups of `step`, the oldest begun, have their verdicts, and returns at
  // once then. CANCELLED where `cancelled` returned true; an error of the source, or of the
  // verifier where it will not come back. After an error the pipeline is of no more use.
  absl::StatusOr<CollectedStep> Collect(
      int64_t step, const std::function<void(int64_t done, int64_t total)>& on_progress,
      const std::function<bool()>& cancelled);

 private:
  struct Flight {
    GroupSource::BatchId batch = 0;
    std::deque<std::pair<size_t, Group>> generated;  // by request; not judged yet
    std::vector<std::optional<JudgedGroup>> judged;  // by request
    int64_t open = 0;                                // not judged
  };

  absl::Status AwaitVerdicts(int64_t step, GroupSource::BatchId batch, CollectedStep& collected,
                             const std::function<void(int64_t, int64_t)>& on_progress,
                             const std::function<bool()>& cancelled);
  void Judge();
  // The oldest step that has something to judge; null where none has.
  std::map<int64_t, Flight>::value_type* NextToJudge() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Parts parts_;
  mutable absl::Mutex mutex_;
  std::map<int64_t, Flight> flights_ ABSL_GUARDED_BY(mutex_);  // by step
  absl::Status judge_status_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread judge_;
};

}  // namespace ponder
