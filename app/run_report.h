#pragma once

#include <string>

#include "app/config.h"
#include "base/status.h"
#include "observe/console.h"
#include "observe/run_store.h"

namespace ponder {

// What a run leaves for people, made from its store: reward.svg and accuracy.svg, and where the
// configuration has audits audit.svg and disputed.jsonl (the first 1000 disputed completions). Says
// on the console what the audits found.
absl::Status WriteRunReport(const RunConfig& config, RunStore& store, const std::string& directory,
                            Console& console);

}  // namespace ponder
