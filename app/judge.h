#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/records.h"
#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

struct JudgeOptions {
  absl::Duration deadline = absl::Seconds(10);  // of one call
  int64_t max_retries = 3;                      // after the first call
  // Waits between tries; tests give one that returns at once.
  std::function<void(absl::Duration)> wait;
};

// A group after its verdicts: completions that could not be judged are gone from it.
struct JudgedGroup {
  Group group;
  std::vector<Verdict> verdicts;           // parallel to group.completions
  std::map<std::string, int64_t> dropped;  // by reason
  // What the verifier said last of what was dropped under a reason.
  std::map<std::string, std::string> words;
  int64_t retries = 0;
  double seconds = 0;
};

// Gets verdicts for a group's completions. A failed call, and items whose verdict is INTERNAL, are
// judged again; what is still without a verdict then is dropped and counted, never scored 0. An
// error only where the verifier says FAILED_PRECONDITION (it will not come back).
absl::StatusOr<JudgedGroup> JudgeGroup(Verifier& verifier, Group group, const JudgeOptions& options,
                                       Clock& clock);

}  // namespace ponder
