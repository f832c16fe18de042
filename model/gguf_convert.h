#pragma once

#include <string>

#include "base/status.h"
#include "model/gguf.h"

namespace ponder {

// The texts of a Hugging Face directory, made from a GGUF file's metadata. What cannot be carried
// over exactly is an error.

// config.json; ParseModelConfig has not seen it yet.
absl::StatusOr<std::string> GgufModelConfig(const GgufFile& file);

// generation_config.json: the tokens that end an answer.
absl::StatusOr<std::string> GgufGenerationConfig(const GgufFile& file);

// tokenizer.json: byte-level BPE with the pre-tokenizer that tokenizer.ggml.pre names.
absl::StatusOr<std::string> GgufTokenizer(const GgufFile& file);

// tokenizer_config.json: special tokens and the chat template.
absl::StatusOr<std::string> GgufTokenizerConfig(const GgufFile& file);

}  // namespace ponder
