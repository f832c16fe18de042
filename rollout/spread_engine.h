#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "rollout/engine.h"

namespace ponder {

// One engine over several, each on its own device: a request goes to the one with the fewest
// completions under way, and Step lets all of them work at once, each in a thread of its own. The
// on_token of requests may be called from several threads at a time. Capacities are added up.
// FAILED_PRECONDITION where their numerics differ: what a completion is must not depend on where it
// ran.
absl::StatusOr<std::unique_ptr<RolloutEngine>> CreateSpreadEngine(
    std::vector<std::unique_ptr<RolloutEngine>> engines);

}  // namespace ponder
