#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// Byte-level BPE, token for token as Hugging Face's `tokenizers` does it: normalizer (none, NFC),
// pre-tokenizer (Split by its pattern, ByteLevel, Digits), merges, added tokens (special or not,
// with lstrip, rstrip, single_word, normalized). Thread-safe: const calls from many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Text is split at added tokens first. No BOS or EOS is put before or behind. Invalid UTF-8 is
  // read as U+FFFD, byte by byte.
  virtual std::vector<int32_t> Encode(std::string_view text) const = 0;

  // Bytes of the tokens put together; incomplete UTF-8 becomes U+FFFD. `skip_special` leaves
  // special tokens out.
  virtual std::string Decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;

  // A token's bytes as they are: for streaming.
  virtual std::string_view TokenBytes(int32_t id) const = 0;

  virtual int64_t Size() const = 0;  // ids are in [0, Size())
  virtual std::optional<int32_t> Find(
      std::string_view token) const = 0;  // by its content, "<|im_end|>"
  virtual bool IsSpecial(int32_t id) const = 0;
};

// DIR/tokenizer.json (with DIR/tokenizer_config.json where present).
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& directory);

// From the text of a tokenizer.json.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(const std::string& json);

}  // namespace ponder
