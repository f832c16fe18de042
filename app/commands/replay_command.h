#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

// `ponder replay RUN SAMPLE...`: completions of a run regenerated token for token.
struct ReplayCommand {
  std::string run;
  std::vector<int64_t> samples;  // as `ponder inspect` and the dashboard have them
  int64_t random = 0;            // so many instead
  uint64_t seed = 1;
  std::string phase = "train";  // that they are drawn from
  std::string model;            // where the base model lies now; empty: where it lay
  int64_t threads = 0;          // 0 = one a core
  bool verify = false;
  bool as_json = false;
};

// An error where a token, a log-prob or a verdict is another one than recorded.
absl::Status RunReplay(const ReplayCommand& command);

}  // namespace ponder
