#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// The texts of a tokenizer's ids as one string: for each its length (4 bytes, little-endian), then
// its bytes.
std::string EncodeVocabulary(const std::vector<std::string>& pieces);

// DATA_LOSS where lengths and bytes do not fit.
absl::StatusOr<std::vector<std::string>> DecodeVocabulary(std::string_view bytes);

// No tokenizer takes more; a corrupt size asks for no more memory than this.
inline constexpr int64_t kMaxVocabularyBytes = int64_t{64} << 20;

}  // namespace ponder
