#pragma once

#include <cstdint>
#include <string>

#include "app/commands/verifier_choice.h"
#include "base/status.h"

namespace ponder {

// `ponder verify --on RUN`: the recorded completions of a run judged anew.
struct RescoreCommand {
  std::string run;
  std::string phase = "train";
  std::string curve;      // an SVG file to draw the reward curves into; empty: none
  int64_t disputed = 20;  // that are listed
  bool as_json = false;
  double deadline_s = 10;
};

// Prints the agreement table, the disputed samples and the reward by step as it was and as it would
// have been. Without a chosen verifier the run's own configuration says who judges.
absl::Status RunRescore(const RescoreCommand& command, const VerifierChoice& choice);

}  // namespace ponder
