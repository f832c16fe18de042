#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "model/split_pattern.h"

namespace ponder {
namespace {

constexpr std::array<std::string_view, 37> kGeneralCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};

// What Oniguruma's \w holds; PCRE2's own \w lacks the marks. The six superscripts and fractions of
// Latin-1 are in it as well, no others.
constexpr std::string_view kWord =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

// Walks over an Oniguruma pattern (Ruby syntax) and writes what means the same to PCRE2 with UTF
// and UCP.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < in_.size()) {
      PONDER_RETURN_IF_ERROR(in_class_ ? InClass() : Outside());
    }
    if (in_class_) return Refuse("a character class that does not end");
    if (!groups_.empty()) return Refuse("a group that does not end");
    return std::move(out_);
  }

 private:
  // What the last piece of pattern was: decides what a quantifier may do.
  enum class Last { kNothing, kAtom, kGroup, kQuantifier };

  absl::Status Refuse(std::string_view what) const {
    return InvalidArgument("the pattern {} has {} at byte {}, which is not supported", in_, what,
                           at_);
  }
  bool StartsWith(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  void Copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  absl::Status Outside() {
    const char c = in_[at_];
    switch (c) {
      case '\\':
        last_ = Last::kAtom;
        return Escape();
      case '(':
        return OpenGroup();
      case ')':
        if (groups_.empty()) return Refuse("a ')' without its '('");
        caseless_ = groups_.back();
        groups_.pop_back();
        Copy(1);
        last_ = Last::kGroup;
        return absl::OkStatus();
      case '[':
        return OpenClass();
      case '*':
      case '+':
      case '?':
      case '{':
        return Quantifier();
      case '|':
        last_ = Last::kNothing;
        break;
      case '^':
      case '$':
        return Refuse(fmt::format("the anchor {}", c));
      default:
        last_ = Last::kAtom;
    }
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status OpenGroup() {
    groups_.push_back(caseless_);
    last_ = Last::kNothing;
    if (!StartsWith("(?")) {
      out_ += "(?:";
      ++at_;
      return absl::OkStatus();
    }
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"}) {
      if (!StartsWith(kind)) continue;
      if (kind == "(?i:") caseless_ = true;
      Copy(kind.size());
      return absl::OkStatus();
    }
    return Refuse(fmt::format("the group '{}'", in_.substr(at_, 4)));
  }

  absl::Status Quantifier() {
    const bool is_brace = in_[at_] == '{';
    std::string repeat(1, in_[at_]);
    size_t length = 1;
    bool is_interval_of_one = false;
    if (is_brace) {
      PONDER_RETURN_IF_ERROR(Interval(&repeat, &length, &is_interval_of_one));
    }
    if (last_ != Last::kAtom && last_ != Last::kGroup)
      return Refuse("a quantifier without anything to repeat");
    if (last_ == Last::kGroup && repeat != "?") return Refuse("a repeated group");
    at_ += length;
    if (at_ < in_.size() && in_[at_] == '+') {
      if (is_brace) {
        // In Ruby x{1,3}+ is (?:x{1,3})+, which is x+; only in other dialects does it mean
        // "possessive".
        if (repeat.starts_with("{1")) {
          repeat = "+";
        } else if (repeat.starts_with("{0")) {
          repeat = "*";
        } else {
          return Refuse("a '+' behind '{}'");
        }
      } else {
        repeat += '+';
      }
      ++at_;
    } else if (at_ < in_.size() && in_[at_] == '?') {
      if (is_interval_of_one) return Refuse("a '?' behind '{n}'");
      repeat += '?';
      ++at_;
    }
    out_ += repeat;
    last_ = Last::kQuantifier;
    return absl::OkStatus();
  }

  // {n}, {n,} or {n,m} at `at_`.
  absl::Status Interval(std::string* repeat, size_t* length, bool* is_single) {
    const size_t end = in_.find('}', at_);
    if (end == std::string_view::npos) return Refuse("a '{' without its '}'");
    *repeat = in_.substr(at_, end + 1 - at_);
    *length = repeat->size();
    const std::string_view inside = std::string_view(*repeat).substr(1, repeat->size() - 2);
    const size_t comma = inside.find(',');
    *is_single = comma == std::string_view::npos;
    const std::string_view low = inside.substr(0, comma);
    const std::string_view high = *is_single ? std::string_view() : inside.substr(comma + 1);
    const auto is_count = [](std::string_view digits) {
      return digits.size() <= 3 &&
             std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    const bool has_leading_zero = low.size() > 1 && low[0] == '0';
    if (low.empty() || has_leading_zero || !is_count(low) || !is_count(high)) {
      return Refuse(fmt::format("the repetition {}", *repeat));
    }
    if (low[0] == '1' && low.size() > 1) {  // so that "{1" at the front means one
      return Refuse(fmt::format("the repetition {}", *repeat));
    }
    return absl::OkStatus();
  }

  absl::Status OpenClass() {
    in_class_ = true;
    Copy(1);
    if (at_ < in_.size() && in_[at_] == '^') Copy(1);
    if (at_ < in_.size() && in_[at_] == ']')
      return Refuse("a character class that begins with ']'");
    return absl::OkStatus();
  }

  absl::Status InClass() {
    const char c = in_[at_];
    if (c == ']') {
      in_class_ = false;
      last_ = Last::kAtom;
    } else if (c == '[') {
      return Refuse("a class inside a class (write \\[ for the character)");
    } else if (StartsWith("&&")) {
      return Refuse("an intersection of classes");
    } else if (c == '\\') {
      return Escape();
    }
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status Escape() {
    if (at_ + 1 >= in_.size()) return Refuse("a '\\' at its end");
    const char c = in_[at_ + 1];
    const auto emit = [&](std::string_view text) {
      out_ += text;
      at_ += 2;
      return absl::OkStatus();
    };
    switch (c) {
      // PCRE2's own \s has U+180E, which is no white space since Unicode 6.3.
      case 's':
        return emit("\\p{White_Space}");
      case 'S':
        return emit("\\P{White_Space}");
      case 'd':
        return emit("\\p{Nd}");
      case 'D':
        return emit("\\P{Nd}");
      case 'w':
        return emit(in_class_ ? std::string(kWord) : fmt::format("[{}]", kWord));
      case 'W':
        if (in_class_) return Refuse("\\W in a class");
        return emit(fmt::format("[^{}]", kWord));
      case 'r':
      case 'n':
      case 't':
      case 'f':
        Copy(2);
        return absl::OkStatus();
      case 'v':
        return emit("\\x0b");  // a class of its own in PCRE2
      case 'p':
      case 'P':
        return Property();
      case 'x':
      case 'u':
        return CodePoint();
      default:
        if (!std::ispunct(static_cast<unsigned char>(c)) && c != ' ') {
          return Refuse(fmt::format("the escape '\\{}'", c));
        }
        Copy(2);
        return absl::OkStatus();
    }
  }

  // \p{Lu}, \P{Lu}, \p{^Lu}, \p{Han}
  absl::Status Property() {
    if (caseless_) return Refuse("a property inside (?i:)");
    const size_t end = in_.find('}', at_);
    if (in_.substr(at_ + 2, 1) != "{" || end == std::string_view::npos)
      return Refuse("\\p without {}");
    std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    std::string_view negation;
    if (name.starts_with('^')) {
      negation = "^";
      name.remove_prefix(1);
    }
    const bool is_category = std::find(kGeneralCategories.begin(), kGeneralCategories.end(),
                                       name) != kGeneralCategories.end();
    const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
    });
    if (!is_name) return Refuse(fmt::format("the property '{}'", name));
    // A script: Oniguruma looks at Script, PCRE2 by default at Script_Extensions.
    out_ += fmt::format("\\{}{{{}{}{}}}", in_[at_ + 1], negation, is_category ? "" : "sc:", name);
    at_ = end + 1;
    return absl::OkStatus();
  }

  // \x41, \x{1F600}, \u00E9
  absl::Status CodePoint() {
    size_t begin = at_ + 2, count = in_[at_ + 1] == 'u' ? 4 : 2, behind = begin + count;
    if (in_[at_ + 1] == 'x' && in_.substr(begin, 1) == "{") {
      const size_t end = in_.find('}', begin);
      if (end == std::string_view::npos) return Refuse("\\x{ without its '}'");
      ++begin;
      count = end - begin;
      behind = end + 1;
    } else if (in_[at_ + 1] == 'x' && begin < in_.size() && in_[begin] >= '8') {
      return Refuse(
          "a byte of a longer character as \\x");  // Oniguruma counts bytes here, PCRE2 characters
    }
    const std::string_view digits =
        begin < in_.size() ? in_.substr(begin, count) : std::string_view();
    const bool is_hex = !digits.empty() && digits.size() == count && count <= 6 &&
                        std::all_of(digits.begin(), digits.end(), [](char c) {
                          return std::isxdigit(static_cast<unsigned char>(c)) != 0;
                        });
    if (!is_hex) return Refuse("a code point that is not written in hexadecimal");
    out_ += fmt::format("\\x{{{}}}", digits);
    at_ = behind;
    return absl::OkStatus();
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  bool in_class_ = false;
  bool caseless_ = false;
  std::vector<bool> groups_;  // of each open group: whether its surroundings are caseless
  Last last_ = Last::kNothing;
};

}  // namespace

absl::StatusOr<std::string> TranslatePattern(const std::string& pattern) {
  return Translator(pattern).Run();
}

}  // namespace ponder
