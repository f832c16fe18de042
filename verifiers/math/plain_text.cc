#include "verifiers/math/plain_text.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace ponder::math {
namespace {

using Replacement = std::pair<std::string_view, std::string_view>;

// Sorted by the first column for the search.
constexpr auto kUnicode = [] {
  auto table = std::to_array<Replacement>({
      {"\u00A0", " "},
      {"\u00A2", ""},
      {"\u00A3", ""},
      {"\u00A5", ""},
      {"\u00B0", "^\\circ "},
      {"\u00B1", "\\pm "},
      {"\u00B2", "^{2}"},
      {"\u00B3", "^{3}"},
      {"\u00B7", "*"},
      {"\u00B9", "^{1}"},
      {"\u00BC", " 1/4"},
      {"\u00BD", " 1/2"},
      {"\u00BE", " 3/4"},
      {"\u00D7", "*"},
      {"\u00F7", "/"},
      {"\u0393", "\\Gamma "},
      {"\u0394", "\\Delta "},
      {"\u03A0", "\\Pi "},
      {"\u03A3", "\\Sigma "},
      {"\u03A6", "\\Phi "},
      {"\u03A8", "\\Psi "},
      {"\u03A9", "\\Omega "},
      {"\u03B1", "\\alpha "},
      {"\u03B2", "\\beta "},
      {"\u03B3", "\\gamma "},
      {"\u03B4", "\\delta "},
      {"\u03B5", "\\epsilon "},
      {"\u03B8", "\\theta "},
      {"\u03BB", "\\lambda "},
      {"\u03BC", "\\mu "},
      {"\u03C0", "\\pi "},
      {"\u03C1", "\\rho "},
      {"\u03C3", "\\sigma "},
      {"\u03C4", "\\tau "},
      {"\u03C6", "\\phi "},
      {"\u03C9", "\\omega "},
      {"\u2009", " "},
      {"\u200A", " "},
      {"\u200B", ""},
      {"\u2010", "-"},
      {"\u2011", "-"},
      {"\u2012", "-"},
      {"\u2013", "-"},
      {"\u2014", "-"},
      {"\u2018", "'"},
      {"\u2019", "'"},
      {"\u2026", "\\ldots "},
      {"\u202F", " "},
      {"\u2032", "'"},
      {"\u2044", "/"},
      {"\u2070", "^{0}"},
      {"\u2074", "^{4}"},
      {"\u2075", "^{5}"},
      {"\u2076", "^{6}"},
      {"\u2077", "^{7}"},
      {"\u2078", "^{8}"},
      {"\u2079", "^{9}"},
      {"\u2080", "_{0}"},
      {"\u2081", "_{1}"},
      {"\u2082", "_{2}"},
      {"\u2083", "_{3}"},
      {"\u2084", "_{4}"},
      {"\u2085", "_{5}"},
      {"\u2086", "_{6}"},
      {"\u2087", "_{7}"},
      {"\u2088", "_{8}"},
      {"\u2089", "_{9}"},
      {"\u20AC", ""},
      {"\u2102", "\\mathbb{C}"},
      {"\u2115", "\\mathbb{N}"},
      {"\u211A", "\\mathbb{Q}"},
      {"\u211D", "\\mathbb{R}"},
      {"\u2124", "\\mathbb{Z}"},
      {"\u2153", " 1/3"},
      {"\u2154", " 2/3"},
      {"\u2155", " 1/5"},
      {"\u215B", " 1/8"},
      {"\u2192", "\\to "},
      {"\u21D2", "\\Rightarrow "},
      {"\u2205", "\\emptyset "},
      {"\u2208", "\\in "},
      {"\u2212", "-"},
      {"\u2213", "\\mp "},
      {"\u2217", "*"},
      {"\u221A", "\\sqrt "},
      {"\u221E", "\\infty "},
      {"\u2220", "\\angle "},
      {"\u2229", "\\cap "},
      {"\u222A", "\\cup "},
      {"\u2248", "\\approx "},
      {"\u2260", "\\neq "},
      {"\u2264", "\\le "},
      {"\u2265", "\\ge "},
      {"\u22C5", "*"},
      {"\u2308", "\\lceil "},
      {"\u2309", "\\rceil "},
      {"\u230A", "\\lfloor "},
      {"\u230B", "\\rfloor "},
      {"\u25B3", "\\triangle "},
      {"\u27E8", "\\langle "},
      {"\u27E9", "\\rangle "},
      {"\u2A7D", "\\le "},
      {"\u2A7E", "\\ge "},
      {"\u3001", ","},
      {"\u3002", "."},
      {"\uFF05", "%"},
      {"\uFF08", "("},
      {"\uFF09", ")"},
      {"\uFF0C", ","},
      {"\uFF0D", "-"},
      {"\uFF0E", "."},
      {"\uFF1A", ":"},
      {"\uFF1B", ";"},
      {"\uFF1D", "="},
      {"\uFFE5", ""},
  });
  std::sort(table.begin(), table.end());
  return table;
}();

// Commands by name, without the backslash.
constexpr auto kCommands = [] {
  auto table = std::to_array<Replacement>({
      {"Big", ""},           {"Bigg", ""},        {"Biggl", ""},        {"Biggr", ""},
      {"Bigl", ""},          {"Bigr", ""},        {"allowbreak", ""},   {"big", ""},
      {"bigg", ""},          {"biggl", ""},       {"biggr", ""},        {"bigl", ""},
      {"bigr", ""},          {"cdot", "*"},       {"cfrac", "\\frac"},  {"colon", ":"},
      {"degree", "^\\circ"}, {"dfrac", "\\frac"}, {"displaystyle", ""}, {"div", "/"},
      {"dollar", ""},        {"dots", "\\ldots"}, {"dotsb", "\\ldots"}, {"dotsc", "\\ldots"},
      {"euro", ""},          {"hfill", " "},      {"left", ""},         {"limits", ""},
      {"lt", "<"},           {"gt", ">"},         {"mathit", ""},       {"mathord", ""},
      {"mathrel", ""},       {"medspace", " "},   {"middle", ""},       {"negthinspace", ""},
      {"nolimits", ""},      {"nonumber", " "},   {"percent", "%"},     {"pounds", ""},
      {"qquad", "\\quad"},   {"right", ""},       {"smallskip", " "},   {"textdollar", ""},
      {"textstyle", ""},     {"tfrac", "\\frac"}, {"thickspace", " "},  {"thinspace", " "},
      {"times", "*"},        {"ast", "*"},        {"bullet", "*"},      {"cdots", "\\ldots"},
      {"scriptstyle", ""},   {"rm", ""},          {"bf", ""},           {"it", ""},
  });
  std::sort(table.begin(), table.end());
  return table;
}();

template <size_t kSize>
const Replacement* Find(const std::array<Replacement, kSize>& table, std::string_view key) {
  const auto* const at = std::lower_bound(
      table.begin(), table.end(), key,
      [](const Replacement& entry, std::string_view wanted) { return entry.first < wanted; });
  return at != table.end() && at->first == key ? at : nullptr;
}

bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

size_t Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
}

class Cleaner {
 public:
  explicit Cleaner(std::string_view text) : text_(text) { out_.reserve(text.size() + 16); }

  std::string Run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) >= 0x80) {
        Unicode();
      } else if (c == '\\') {
        Command();
      } else if (c == '$' || c == '`') {
        ++at_;
      } else if (c == '*' && At(at_ + 1) == '*' && !IsPower()) {
        at_ += 2;  // bold
      } else {
        out_ += absl::ascii_isspace(static_cast<unsigned char>(c)) || c == '~' ? ' ' : c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  char At(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  // "x**2": an operand on both sides.
  bool IsPower() const {
    const char before = at_ > 0 ? text_[at_ - 1] : ' ';
    const char behind = At(at_ + 2);
    const auto operand = [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); };
    return (operand(before) || before == ')') && (operand(behind) || behind == '(');
  }

  void Unicode() {
    const size_t length = Utf8Length(text_[at_]);
    const std::string_view character = text_.substr(at_, length);
    if (const Replacement* const found = Find(kUnicode, character)) {
      out_ += found->second;
    } else if (character.starts_with("\xEF\xBC") && character.size() == 3 &&
               character[2] >= '\x90' && character[2] <= '\x99') {
      out_ += static_cast<char>('0' + (character[2] - '\x90'));  // full-width digits
    } else {
      out_ += character;
    }
    at_ += std::min(length, text_.size() - at_);
  }

  void Command() {
    const char next = At(at_ + 1);
    if (IsLetter(next)) {
      size_t end = at_ + 1;
      while (IsLetter(At(end))) ++end;
      const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
      at_ = end;
      if (name == "begin") ++environments_;
      if (name == "end") environments_ = std::max<int64_t>(0, environments_ - 1);
      if (const Replacement* const found = Find(kCommands, name)) {
        out_ += found->second;
        if (!found->second.empty() && IsLetter(found->second.back()) && IsLetter(At(at_))) {
          out_ += ' ';
        }
        // "\left." and "\right." stand for no bracket at all.
        if ((name == "left" || name == "right") && At(at_) == '.') ++at_;
        return;
      }
      if (name.starts_with("quad")) {  // "\\quadx"
        out_ += "\\quad ";
        out_ += name.substr(4);
        return;
      }
      out_ += '\\';
      out_ += name;
      return;
    }
    at_ += 2;
    switch (next) {
      case '\\':
        // "\\frac" escaped twice; between rows "\\" stays.
        if (environments_ == 0 && IsLetter(At(at_)) && IsLetter(At(at_ + 1))) {
          --at_;
          Command();
        } else if (environments_ == 0 && (At(at_) == '{' || At(at_) == '}')) {
          --at_;
        } else {
          out_ += "\\\\";
        }
        return;
      case '!':
        while (At(at_) == ' ') ++at_;  // "32,\\! 349"
        return;
      case '(':
      case ')':
      case '[':
      case ']':
      case ',':
      case ';':
      case ':':
      case '>':
      case ' ':
      case '\n':
        out_ += ' ';
        return;
      case '$':
        return;
      case '%':
        out_ += '%';
        return;
      case '{':
      case '}':
      case '|':
        out_ += '\\';
        out_ += next;
        return;
      case '\0':
        return;
      default:
        out_ += next;
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  int64_t environments_ = 0;  // how many \begin are open
  std::string out_;
};

}  // namespace

std::string PlainMathText(std::string_view text) { return Cleaner(text).Run(); }

}  // namespace ponder::math
