#pragma once

#include <string>

#include "model/tokenizer.h"

namespace ponder {

// Ids 0 ... 255 are bytes, 256 ("<end>") is special. Text shows ASCII alone.
class ByteTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kEnd = 256;

  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (IsSpecial(id)) {
        if (!skip_special) text += TokenBytes(id);
      } else {
        text += id < 0x80 ? std::string(TokenBytes(id)) : "\uFFFD";  // keeps text valid UTF-8
      }
    }
    return text;
  }
  std::string_view TokenBytes(int32_t id) const override {
    if (id == kEnd) return "<end>";
    static const std::string kBytes = [] {
      std::string bytes;
      for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
      return bytes;
    }();
    return std::string_view(kBytes).substr(id, 1);
  }
  int64_t Size() const override { return 257; }
  std::optional<int32_t> Find(std::string_view token) const override {
    if (token == "<end>") return kEnd;
    return std::nullopt;
  }
  bool IsSpecial(int32_t id) const override { return id == kEnd; }
};

}  // namespace ponder
