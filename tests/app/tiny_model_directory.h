#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace ponder {

// Writes a Hugging Face directory of a small Llama with random weights and a byte-level tokenizer
// of 256 bytes and the three tokens of ChatML: runs the whole program in milliseconds a step. It
// says nothing sensible; digits come up now and then.
absl::Status WriteTinyModelDirectory(const std::string& directory);

// Leaves in `folder` such a model (model/), tasks, examples of a cold start and run.toml: a run of
// so many steps, 48 completions each, that takes a second or two.
absl::Status WriteTinyRun(const std::string& folder, int64_t steps);

}  // namespace ponder
