#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "verifiers/code/candidate_channel.h"
#include "verifiers/code/check.h"
#include "verifiers/code/job.h"

namespace ponder {

struct ProgramResult {
  std::optional<CodeFinding>
      fault;            // why there is no output to compare: a limit, or no valid program
  bool loaded = false;  // the code could be compiled, as the channel said
  std::string output;   // what it printed until all of it had ended
  std::string ending;   // "ended with exit status 1"
  bool zygote_lost = false;
};

// Runs a job that reads a standard input and prints: feeds it, takes what it prints, watches the
// clocks. `channel`, where there is one, carries the source and brings one message back.
absl::StatusOr<ProgramResult> RunProgram(Zygote& zygote, JobOptions job, const JobTimes& times,
                                         int64_t max_output_bytes,
                                         std::optional<CandidateChannel> channel,
                                         std::string_view input);

}  // namespace ponder
