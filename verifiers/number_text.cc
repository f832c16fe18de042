#include "verifiers/number_text.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

namespace ponder {
namespace {

using Replacement = std::pair<std::string_view, std::string_view>;

// LaTeX commands end where their letters end, so longer names stand before their beginnings.
constexpr auto kLatex = std::to_array<Replacement>({
    {"\\! ", ""},
    {"\\!", ""},
    {"\\,", " "},
    {"\\;", " "},
    {"\\:", " "},
    {"\\ ", " "},
    {"\\(", " "},
    {"\\)", " "},
    {"\\[", " "},
    {"\\]", " "},
    {"\\$", "$"},
    {"\\%", "%"},
    {"{,}", ","},
    {"\\left", ""},
    {"\\right", ""},
    {"\\displaystyle", ""},
    {"\\qquad", " "},
    {"\\quad", " "},
    {"\\dfrac", "\\frac"},
    {"\\tfrac", "\\frac"},
    {"\\cfrac", "\\frac"},
    {"**", ""},
    {"__", ""},
    {"`", ""},
    {"~", " "},
    {"\n", " "},
    {"\t", " "},
    {"\r", " "},
    {"\\degrees", "^\\circ"},
    {"\\degree", "^\\circ"},
    {"\\euro", "$"},
    {"\\pounds", "$"},
    {"\\percent", "%"},
    {"\\minus", "-"},
    {"\\textdollar", "$"},
});

constexpr auto kUnicode = std::to_array<Replacement>({
    {"\u2212", "-"},    {"\u2013", "-"},       {"\u00A0", " "},       {"\u2009", " "},
    {"\u202F", " "},    {"\u00D7", "\\times"}, {"\u00B0", "^\\circ"}, {"\u00B2", "^2"},
    {"\u00B3", "^3"},   {"\u20AC", "$"},       {"\u00A3", "$"},       {"\u00A5", "$"},
    {"\u00BD", " 1/2"}, {"\u00BC", " 1/4"},    {"\u00BE", " 3/4"},    {"\uFF0C", ","},
    {"\uFF0E", "."},    {"\uFF05", "%"},       {"\u3002", "."},       {"\u2044", "/"},
});

const Replacement* FindReplacement(std::string_view rest) {
  const auto match = [&](const Replacement& candidate) {
    if (!rest.starts_with(candidate.first)) return false;
    // \left must not eat the beginning of \leftarrow.
    const bool named = candidate.first.size() > 2 && candidate.first[0] == '\\';
    return !named || rest.size() == candidate.first.size() ||
           !absl::ascii_isalpha(static_cast<unsigned char>(rest[candidate.first.size()]));
  };
  const auto byte = static_cast<unsigned char>(rest[0]);
  if (byte >= 0x80) {
    const auto* const found = std::find_if(kUnicode.begin(), kUnicode.end(), match);
    return found == kUnicode.end() ? nullptr : found;
  }
  if (absl::ascii_isalnum(byte)) return nullptr;
  const auto* const found = std::find_if(kLatex.begin(), kLatex.end(), match);
  return found == kLatex.end() ? nullptr : found;
}

constexpr size_t kMaxTailBytes = 80;
constexpr int kMaxTailWords = 5;

// Words that make another number of what stands before them, or join it to a second one.
constexpr auto kChangingWords = std::to_array<std::string_view>(
    {"pi",         "sqrt",        "root",    "log",      "ln",     "sin",       "cos",
     "tan",        "exp",         "inf",     "infinity", "mod",    "modulo",    "or",
     "and",        "to",          "plus",    "minus",    "times",  "over",      "divided",
     "factorial",  "squared",     "cubed",   "half",     "halves", "third",     "thirds",
     "quarter",    "quarters",    "fourth",  "fourths",  "fifth",  "fifths",    "sixth",
     "sixths",     "eighth",      "eighths", "tenth",    "tenths", "hundredth", "hundredths",
     "thousandth", "thousandths", "not",     "choose"});
constexpr auto kScales = std::to_array<std::pair<std::string_view, int>>(
    {{"hundred", 2}, {"thousand", 3}, {"million", 6}, {"billion", 9}, {"trillion", 12}});
constexpr std::string_view kUnitLetters = "mgshLlNJWV";  // other single letters are variables
constexpr auto kTextCommands =
    std::to_array<std::string_view>({"\\text{", "\\mathrm{", "\\textrm{", "\\mbox{", "\\textbf{",
                                     "\\mathbf{", "\\textnormal{", "\\textit{"});

// The code point at the front of well-formed UTF-8, with its length.
std::optional<std::pair<uint32_t, size_t>> DecodeFront(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < length) return std::nullopt;
  uint32_t code = byte(0) & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  return std::pair(code, length);
}

// Letters of units in other scripts; not pi, infinity, or the Chinese powers of ten.
bool IsForeignUnitLetter(uint32_t code) {
  for (const uint32_t power :
       {0x4E07u, 0x842Cu, 0x4EBFu, 0x5104u, 0x5343u, 0x767Eu, 0x5341u, 0x534Au}) {
    if (code == power) return false;
  }
  return (code >= 0xC0 && code <= 0x24F && code != 0xD7 && code != 0xF7) || code == 0xB5 ||
         code == 0x3BC || code == 0x3A9 || code == 0x2126 || (code >= 0x400 && code <= 0x4FF) ||
         (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3040 && code <= 0x30FF) ||
         (code >= 0xAC00 && code <= 0xD7A3);
}

}  // namespace

std::string NormalizeNumberText(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    if (const Replacement* const replacement = FindReplacement(text)) {
      result.append(replacement->second);
      text.remove_prefix(replacement->first.size());
      continue;
    }
    // Full-width digits: U+FF10 to U+FF19.
    if (text.size() >= 3 && text.starts_with("\xEF\xBC") && text[2] >= '\x90' &&
        text[2] <= '\x99') {
      result.push_back(static_cast<char>('0' + (text[2] - '\x90')));
      text.remove_prefix(3);
      continue;
    }
    result.push_back(text[0]);
    text.remove_prefix(1);
  }
  return result;
}

NumberTail ReadNumberTail(std::string_view tail) {
  NumberTail result;
  if (tail.size() > kMaxTailBytes) return result;
  int words = 0;
  bool degrees = false, at_start = true, after_letter = false;
  for (size_t i = 0; i < tail.size();) {
    const char c = tail[i];
    const std::string_view rest = tail.substr(i);
    if (absl::ascii_isalpha(static_cast<unsigned char>(c))) {
      size_t end = i;
      while (end < tail.size() && absl::ascii_isalpha(static_cast<unsigned char>(tail[end]))) ++end;
      const std::string_view word = tail.substr(i, end - i);
      const std::string lower = absl::AsciiStrToLower(std::string(word));
      i = end;
      const auto* const scale =
          std::find_if(kScales.begin(), kScales.end(),
                       [&](const auto& candidate) { return candidate.first == lower; });
      if (scale != kScales.end() && words == 0 && !result.percent) {
        result.powers_of_ten += scale->second;
        if (result.powers_of_ten > 24) return result;
        continue;
      }
      if (lower == "percent" || lower == "pct" || lower == "percentage" || lower == "cent") {
        // "per cent" in two words; alone "cent" is a coin.
        if (lower != "cent") result.percent = true;
      } else if (std::find(kChangingWords.begin(), kChangingWords.end(), lower) !=
                 kChangingWords.end()) {
        return result;
      } else if (word.size() == 1) {
        const bool temperature = degrees && (c == 'C' || c == 'F');
        const bool article = c == 'a' && words > 0;
        if (kUnitLetters.find(c) == std::string_view::npos && !temperature && !article)
          return result;
      }
      if (++words > kMaxTailWords) return result;
      after_letter = true;
      at_start = false;
      continue;
    }
    if (static_cast<unsigned char>(c) >= 0x80) {
      const auto decoded = DecodeFront(rest);
      if (!decoded || !IsForeignUnitLetter(decoded->first)) return result;
      i += decoded->second;
      after_letter = true;
      at_start = false;
      continue;
    }
    if (c == '\\' || c == '^') {
      // Commands that open a text are transparent; a degree sign is a unit; powers belong to a
      // unit's letter.
      const auto* const text_command =
          std::find_if(kTextCommands.begin(), kTextCommands.end(),
                       [&](std::string_view command) { return rest.starts_with(command); });
      if (text_command != kTextCommands.end()) {
        i += text_command->size();
        continue;
      }
      size_t power = 0;
      for (const std::string_view degree : {"^{\\circ}", "^\\circ", "\\circ"}) {
        if (power == 0 && rest.starts_with(degree)) power = degree.size(), degrees = true;
      }
      for (const std::string_view square : {"^{2}", "^{3}", "^2", "^3"}) {
        if (power == 0 && after_letter && rest.starts_with(square)) power = square.size();
      }
      if (power == 0) return result;
      i += power;
      at_start = false;
      continue;
    }
    if (c == '%') {
      if (!at_start) return result;
      result.percent = true;
    } else if (c == '}') {
      // The end of a text; "m}^2" keeps its letter.
      ++i;
      continue;
    } else if (c == '-' && at_start) {
      return result;
    } else if (std::string_view(" /.-()'$").find(c) == std::string_view::npos) {
      return result;
    }
    if (c != ' ') {
      at_start = at_start && c == '$';
      after_letter = false;
    }
    ++i;
  }
  result.accepted = true;
  return result;
}

}  // namespace ponder
