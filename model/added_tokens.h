#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ponder {

// A token that is looked for in the text before it is split into words.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // left out when decoding
  bool single_word = false;  // only where no word character is beside it
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // takes the white space on its right
  bool normalized = true;    // looked for in normalized text

  bool operator==(const AddedToken&) const = default;
};

// Text between added tokens, or (token >= 0) such a token.
struct Segment {
  std::string_view text;
  int32_t token = -1;
};

// Finds added tokens: leftmost, then longest. Thread-safe once all are added.
class AddedTokenMatcher {
 public:
  // `pattern` is what to look for (the content, maybe normalized). Of two tokens with one pattern
  // the first counts.
  void Add(const AddedToken& token, const std::string& pattern);

  // Cuts valid UTF-8 into segments, in order.
  std::vector<Segment> Cut(std::string_view text) const;

 private:
  static constexpr int32_t kNone = -1;

  struct Match {
    int32_t token = kNone;  // index into tokens_
    size_t end = 0;
  };
  Match LongestAt(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;
  std::array<bool, 256> begins_{};       // bytes with which some token begins
  std::vector<int32_t> ends_ = {kNone};  // of each node of the trie: the token that ends there
  absl::flat_hash_map<uint64_t, int32_t> children_;  // node << 8 | byte
};

}  // namespace ponder
