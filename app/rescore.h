#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "observe/run_store.h"
#include "rewards/reward.h"
#include "verifiers/verifier.h"

namespace ponder {

// The recorded completions of a run judged anew: by another verifier, or another version of the
// same.
struct RescoreOptions {
  std::string phase = "train";  // of the store: "train", "eval/train", "eval/untrained"
  absl::Duration deadline = absl::Seconds(10);  // of one call
  int64_t max_retries = 3;                      // of what is INTERNAL
  int64_t max_disputed = 1000;                  // that are kept
  RewardSettings reward;
};

// A completion that only one of the two verdicts calls CORRECT.
struct Disputed {
  int64_t sample = 0;  // the store's
  int64_t step = 0;
  std::string task_id;
  std::string gold;
  Verdict was, now;
};

struct RescoredStep {
  int64_t step = 0;
  int64_t completions = 0;                  // with a verdict
  double reward_was = 0, reward_now = 0;    // means
  double correct_was = 0, correct_now = 0;  // shares
};

struct Rescored {
  std::map<std::pair<VerdictStatus, VerdictStatus>, int64_t> table;  // (was, now)
  int64_t judged = 0;
  int64_t agreed = 0;    // both CORRECT, or neither
  int64_t unjudged = 0;  // INTERNAL at every try
  int64_t disputed_count = 0;
  std::vector<Disputed> disputed;  // the first max_disputed
  std::vector<RescoredStep> steps;
};

// Verdicts in the order of the items, in calls of some hundred; what is INTERNAL is tried again.
absl::StatusOr<std::vector<Verdict>> JudgeItems(Verifier& verifier,
                                                const std::vector<VerifyItem>& items,
                                                const RescoreOptions& options);

// `on_progress` counts steps. NOT_FOUND where the phase has no completions.
absl::StatusOr<Rescored> RescoreRun(RunStore& store, Verifier& verifier,
                                    const RescoreOptions& options,
                                    const std::function<void(int64_t, int64_t)>& on_progress);

}  // namespace ponder
