#include "base/utf8.h"

namespace ponder {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How a sequence continues after its first byte (Unicode Standard, table 3-7).
struct LeadByte {
  int length = 0;  // of the whole sequence; 0 where nothing can begin with this byte
  unsigned char low = 0x80, high = 0xBF;  // bounds of the second byte
};

LeadByte Classify(unsigned char byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};  // surrogates are not characters
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

}  // namespace

std::string ToValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const LeadByte lead = Classify(static_cast<unsigned char>(text[i]));
    if (lead.length == 0) {
      valid += kReplacement;
      ++i;
      continue;
    }
    int taken = 1;
    unsigned char low = lead.low, high = lead.high;
    while (taken < lead.length && i + taken < text.size()) {
      const unsigned char byte = static_cast<unsigned char>(text[i + taken]);
      if (byte < low || byte > high) break;
      low = 0x80;
      high = 0xBF;
      ++taken;
    }
    if (taken == lead.length) {
      valid += text.substr(i, taken);
    } else {
      valid += kReplacement;
    }
    i += taken;
  }
  return valid;
}

}  // namespace ponder
