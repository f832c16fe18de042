#pragma once

#include <span>

#include "base/records.h"
#include "observe/metric_sink.h"

namespace ponder {

// Adds what the named parts of verdicts say to a step's metrics: "part/NAME", the mean over the
// verdicts that have it, and of audits (verifiers/combined_verifier.h) "audit/NAME_disagreement",
// the share of those looked at that is disputed, "audit/NAME_looked_at" and "audit/NAME_failed".
// To be called once, with all verdicts of the step.
void AddPartMetrics(std::span<const ScoredGroup> groups, Metrics& metrics);

}  // namespace ponder
