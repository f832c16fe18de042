#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/status.h"

namespace ponder {

struct StarterRequest {
  std::string model;                // Hugging Face directory
  std::string task = "arithmetic";  // "countdown", or a file of JSON lines
  int64_t memory_bytes = 0;         // that the run may take
  int64_t cores = 0;
};

// A configuration to begin with, and why it is so.
struct StarterConfig {
  RunConfig config;
  std::map<std::string, std::string> why;  // the keys that it sets, see DumpChosenKeys
  std::vector<std::string> said;           // what was chosen, a line each, for people
};

// Fits model, task and memory to each other. RESOURCE_EXHAUSTED where no setting fits the memory.
absl::StatusOr<StarterConfig> MakeStarterConfig(const StarterRequest& request);

}  // namespace ponder
