#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ponder {

// GPT-2's alphabet: every byte is written as one printable character (space is U+0120), so that a
// vocabulary is readable text.

// The bytes that a token's text stands for; empty where it has a character outside the alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

// The text that stands for `bytes`.
std::string TokenOfBytes(std::string_view bytes);

}  // namespace ponder
