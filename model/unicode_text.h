#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ponder {

// Unicode text in UTF-8, as the tokenizer needs it.

bool IsValidUtf8(std::string_view text);

// The code point at `*position` of valid UTF-8; moves `*position` behind it. Requires *position <
// text.size().
char32_t NextCodePoint(std::string_view text, size_t* position);
// Where the code point before `position` begins. Requires 0 < position <= text.size().
size_t PreviousBoundary(std::string_view text, size_t position);
void AppendUtf8(char32_t code_point, std::string* text);

bool IsSpace(char32_t code_point);   // White_Space
bool IsWord(char32_t code_point);    // Alphabetic, M, Nd, Pc or Join_Control
bool IsNumber(char32_t code_point);  // Nd, Nl or No

// Normalization form C of valid UTF-8 of less than 2 GiB; characters newer than Unicode 9 stay as
// they are.
std::string ToNfc(std::string_view text);

}  // namespace ponder
