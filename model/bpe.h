#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ponder {

// A merge of two neighbouring tokens into one; its rank is its place in the list.
struct BpeMerge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t result = 0;
};

struct BpeParams {
  std::vector<int32_t> byte_ids;  // [256], the token of each byte; -1 where the vocabulary has none
  std::vector<BpeMerge> merges;   // of a pair that is listed twice the last counts
  // Token bytes to id: with ignore_merges a word that is a token becomes that token at once. Empty
  // otherwise.
  std::vector<std::pair<std::string, int32_t>> whole_words;
  std::optional<int32_t> unknown;  // for bytes without a token; without it they are dropped
  bool fuse_unknown = false;       // neighbouring unknown bytes become one token
};

// Byte-pair merging within a word: always the pair of lowest rank, leftmost first. Thread-safe.
class Bpe {
 public:
  virtual ~Bpe() = default;

  // Appends the tokens of a word. O(n log n) in its bytes.
  virtual void Encode(std::string_view word, std::vector<int32_t>* ids) const = 0;

  // The same, past the cache of words; returns the number of candidate merges that were looked at,
  // at most 3 a byte.
  virtual int64_t EncodeUncached(std::string_view word, std::vector<int32_t>* ids) const = 0;
};

std::unique_ptr<Bpe> CreateBpe(BpeParams params);

}  // namespace ponder
