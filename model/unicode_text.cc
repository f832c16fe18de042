#include "model/unicode_text.h"

#include <simdjson.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "model/unicode_stand_ins.h"

namespace ponder {
namespace {

bool IsAscii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + i, 8);
    if (eight & 0x8080808080808080u) return false;
  }
  for (; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  }
  return true;
}

// The normalization of `tokenizers` is that of Unicode 9: later characters neither compose nor are
// put in order.
const icu::FilteredNormalizer2* CreateNfc() {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  PONDER_CHECK(U_SUCCESS(error), u_errorName(error));
  auto& known = *new icu::UnicodeSet(icu::UnicodeString("[:Age=9.0:]"), error);  // for good
  PONDER_CHECK(U_SUCCESS(error), u_errorName(error));
  known.freeze();
  return new icu::FilteredNormalizer2(*nfc, known);
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

char32_t NextCodePoint(std::string_view text, size_t* position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t i = *position;
  const unsigned char first = byte(i);
  if (first < 0x80) {
    *position = i + 1;
    return first;
  }
  const int length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  PONDER_CHECK(i + length <= text.size());
  char32_t code_point = first & (0x7F >> length);
  for (int k = 1; k < length; ++k) code_point = code_point << 6 | (byte(i + k) & 0x3F);
  *position = i + length;
  return code_point;
}

size_t PreviousBoundary(std::string_view text, size_t position) {
  do {
    --position;
  } while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

void AppendUtf8(char32_t c, std::string* text) {
  if (c < 0x80) {
    *text += static_cast<char>(c);
    return;
  }
  if (c < 0x800) {
    *text += static_cast<char>(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      *text += static_cast<char>(0xE0 | c >> 12);
    } else {
      *text += static_cast<char>(0xF0 | c >> 18);
      *text += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    }
    *text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  }
  *text += static_cast<char>(0x80 | (c & 0x3F));
}

bool IsSpace(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)); }

bool IsWord(char32_t c) {
  const auto code = static_cast<UChar32>(StandIn(c));
  return (U_GET_GC_MASK(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ||
         u_isUAlphabetic(code) || u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL);
}

bool IsNumber(char32_t c) {
  // `tokenizers` asks Rust's own tables here, which are those of Unicode 17.
  if ((c >= 0x11DE0 && c <= 0x11DE9) || (c >= 0x16FF4 && c <= 0x16FF6)) return true;
  return (U_GET_GC_MASK(static_cast<UChar32>(StandIn(c))) & U_GC_N_MASK) != 0;
}

std::string ToNfc(std::string_view text) {
  PONDER_CHECK(text.size() <= INT32_MAX);  // ICU counts with 32 bits
  if (IsAscii(text)) return std::string(text);
  static const icu::FilteredNormalizer2* const nfc = CreateNfc();
  UErrorCode error = U_ZERO_ERROR;
  std::string result;
  icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(text.size()));
  nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink,
                     nullptr, error);
  PONDER_CHECK(U_SUCCESS(error), u_errorName(error));
  return result;
}

}  // namespace ponder
