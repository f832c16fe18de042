#pragma once

#include <string>

#include "base/status.h"

namespace ponder {

// Writes a Hugging Face directory of a small Llama with random weights and a byte-level tokenizer
// of 256 bytes and the three tokens of ChatML: runs the whole program in milliseconds a step. It
// says nothing sensible; digits come up now and then.
absl::Status WriteTinyModelDirectory(const std::string& directory);

}  // namespace ponder
