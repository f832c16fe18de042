#pragma once

#include <optional>

#include "observe/dashboard/query_reader.h"
#include "observe/run_reader.h"

namespace ponder {

// status, finish, kind, text, reward_min, reward_max, tokens_min and tokens_max of a request; phase
// and steps are the caller's.
SampleFilter ReadSampleFilter(QueryReader& query);

// False where the filter asks for nothing of a single sample, so that all match.
bool AsksForSamples(const SampleFilter& filter);

enum class GroupOutcome { kAllRight, kMixed, kAllWrong };
GroupOutcome OutcomeOf(const GroupSummary& group);
std::optional<GroupOutcome> ReadOutcome(QueryReader& query);

}  // namespace ponder
