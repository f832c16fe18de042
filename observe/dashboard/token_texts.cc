#include "observe/dashboard/token_texts.h"

#include <string_view>
#include <utility>

namespace ponder {
namespace {

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Bytes that a character has by its first one; 1 where it is none.
size_t CharacterBytes(char first) {
  const auto byte = static_cast<unsigned char>(first);
  if (byte >= 0xf0 && byte <= 0xf4) return 4;
  if (byte >= 0xe0 && byte < 0xf0) return 3;
  if (byte >= 0xc2 && byte < 0xe0) return 2;
  return 1;
}

// Bytes at the end that may be the begin of a character.
size_t OpenBytes(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const char c = text[text.size() - back];
    if (Continues(c)) continue;
    return CharacterBytes(c) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::vector<std::string> TokenTexts(std::span<const int32_t> ids,
                                    const std::vector<std::string>& vocabulary) {
  std::vector<std::string> texts(ids.size());
  std::string open;  // of a character that the next token may end
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string text = std::exchange(open, "");
    if (ids[i] >= 0 && static_cast<size_t>(ids[i]) < vocabulary.size()) {
      text += vocabulary[static_cast<size_t>(ids[i])];
    }
    if (i + 1 < ids.size()) {
      const size_t kept = text.size() - OpenBytes(text);
      open = text.substr(kept);
      text.resize(kept);
    }
    texts[i] = std::move(text);
  }
  return texts;
}

}  // namespace ponder
