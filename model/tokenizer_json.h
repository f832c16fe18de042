#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/added_tokens.h"
#include "model/pre_tokenizer.h"

namespace ponder {

// What a tokenizer.json says, checked for what is supported.
struct TokenizerSpec {
  bool nfc = false;  // the normalizer
  std::vector<PreTokenizerStep> pre_tokenizer;

  std::vector<std::string> tokens;  // the model's vocabulary by id; empty where an id is not used
  int64_t vocabulary_size = 0;      // ids in use
  struct Merge {
    std::string left, right;
  };
  std::vector<Merge> merges;
  std::string unknown_token;  // empty = none
  bool fuse_unknown = false;
  bool ignore_merges = false;

  std::vector<AddedToken> added_tokens;  // in the file's order
};

// Errors name the key that is at fault.
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(const std::string& json);

// What a tokenizer_config.json adds to it: `added_tokens_decoder` with its ids, and the tokens it
// gives a role
// ("eos_token", ...; their id is -1, for the file does not say it).
absl::StatusOr<std::vector<AddedToken>> ParseTokenizerConfigTokens(const std::string& json);

}  // namespace ponder
