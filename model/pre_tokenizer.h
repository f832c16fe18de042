#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// What becomes of the matches when text is split.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// One entry of tokenizer.json's pre_tokenizer.
struct PreTokenizerStep {
  enum class Kind { kSplit, kDigits, kByteLevel };
  Kind kind = Kind::kByteLevel;

  std::string pattern;                                // kSplit
  bool is_literal = false;                            // kSplit: the pattern is plain text
  bool invert = false;                                // kSplit
  SplitBehavior behavior = SplitBehavior::kIsolated;  // kSplit
  bool individual_digits = false;                     // kDigits
  bool add_prefix_space = false;                      // kByteLevel
  bool use_regex = true;                              // kByteLevel: split with GPT-2's pattern
};

// Text cut into the words within which merges happen.
struct Words {
  struct Span {
    size_t begin = 0;
    size_t end = 0;
  };
  std::string text;  // as given, with prefix spaces where a step adds them
  std::vector<Span> spans;

  std::string_view Word(size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

// Thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Valid UTF-8 to words; empty ones are left out.
  virtual Words Split(std::string_view text) const = 0;
};

// The steps one behind the other; the last is ByteLevel, since the merges work on bytes.
absl::StatusOr<std::unique_ptr<PreTokenizer>> CreatePreTokenizer(
    const std::vector<PreTokenizerStep>& steps);

}  // namespace ponder
