#include "verifiers/exact_number.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "verifiers/number_text.h"

namespace ponder {
namespace {

constexpr size_t kMaxTextBytes = 200'000;
constexpr size_t kMaxDigits = 100'000;
constexpr int64_t kMaxExponent = 10'000;
constexpr size_t kMaxNameBytes = 64;  // of "x =" before a number

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

mpz_class PowerOfTen(unsigned long exponent) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, exponent);
  return power;
}

struct Ratio {
  mpz_class numerator, denominator;
};

// A cursor over normalized text. Each Take function either advances over what it names or leaves
// the cursor alone.
class Cursor {
 public:
  explicit Cursor(std::string_view text, bool commas_allowed)
      : text_(text), commas_allowed_(commas_allowed) {}

  std::string_view Rest() const { return text_.substr(at_); }
  void SkipSpaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool Take(std::string_view word) {
    if (!Rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  // -1 or 1.
  int TakeSign() {
    const bool minus = Take("-");
    if (!minus) Take("+");
    SkipSpaces();
    return minus ? -1 : 1;
  }

  // Digits with separators, a decimal part and an exponent.
  std::optional<Ratio> TakeDecimal();
  // Digits alone; empty where there is none.
  std::string TakeDigits() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  // \frac with braces or single digits as arguments.
  std::optional<Ratio> TakeFraction();
  // \times 10^{n} and its relatives; false where it is too large. Leaves `exponent` alone where
  // there is none.
  bool TakeScale(int64_t& exponent);

  size_t Position() const { return at_; }
  void MoveTo(size_t position) { at_ = position; }

 private:
  size_t RunOfDigits(size_t from) const {
    size_t end = from;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    return end - from;
  }
  char At(size_t position) const { return position < text_.size() ? text_[position] : '\0'; }
  std::optional<Ratio> TakeArgument();

  std::string_view text_;
  bool commas_allowed_;
  size_t at_ = 0;
};

// value * 10^exponent
Ratio Scaled(Ratio value, int64_t exponent) {
  if (exponent > 0) value.numerator *= PowerOfTen(static_cast<unsigned long>(exponent));
  if (exponent < 0) value.denominator *= PowerOfTen(static_cast<unsigned long>(-exponent));
  return value;
}

std::optional<int64_t> ReadExponent(const std::string& digits, int sign) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || value > kMaxExponent) return std::nullopt;
  return sign * value;
}

std::optional<Ratio> Cursor::TakeDecimal() {
  const size_t start = at_;
  const auto fail = [&]() -> std::optional<Ratio> {
    at_ = start;
    return std::nullopt;
  };
  std::string digits = TakeDigits(), decimals;
  const size_t first = digits.size();
  const char separator = At(at_);
  // Groups of three behind one to three digits that do not begin with 0.
  const auto group_at = [&](size_t position) {
    return At(position) == separator && RunOfDigits(position + 1) == 3;
  };
  bool grouped = false;
  if (std::string_view(", _'").find(separator) != std::string_view::npos && separator != '\0' &&
      (separator != ',' || commas_allowed_) && first >= 1 && first <= 3 && digits[0] != '0') {
    while (group_at(at_)) {
      digits += text_.substr(at_ + 1, 3);
      at_ += 4;
      grouped = true;
    }
  }
  if (At(at_) == '.' && IsDigit(At(at_ + 1))) {
    ++at_;
    decimals = TakeDigits();
  } else if (!grouped && first > 0 && separator == ',' && commas_allowed_ && IsDigit(At(at_ + 1))) {
    ++at_;
    decimals = TakeDigits();
  }
  if (digits.empty() && decimals.empty()) return fail();
  if (digits.size() + decimals.size() > kMaxDigits) return fail();
  int64_t exponent = 0;
  if ((At(at_) == 'e' || At(at_) == 'E')) {
    size_t next = at_ + 1;
    const int sign = At(next) == '-' ? -1 : 1;
    if (At(next) == '-' || At(next) == '+') ++next;
    if (IsDigit(At(next))) {
      at_ = next;
      const std::optional<int64_t> read = ReadExponent(TakeDigits(), sign);
      if (!read) return fail();
      exponent = *read;
    }
  }
  Ratio value{mpz_class(digits + decimals, 10), PowerOfTen(decimals.size())};
  return Scaled(std::move(value), exponent);
}

std::optional<Ratio> Cursor::TakeArgument() {
  SkipSpaces();
  if (IsDigit(At(at_))) return Ratio{mpz_class(std::string(1, text_[at_++]), 10), 1};
  if (!Take("{")) return std::nullopt;
  SkipSpaces();
  const int sign = TakeSign();
  std::optional<Ratio> value = TakeDecimal();
  SkipSpaces();
  if (!value || !Take("}")) return std::nullopt;
  value->numerator *= sign;
  return value;
}

std::optional<Ratio> Cursor::TakeFraction() {
  const size_t start = at_;
  if (!Take("\\frac")) return std::nullopt;
  const std::optional<Ratio> a = TakeArgument();
  const std::optional<Ratio> b = a ? TakeArgument() : std::nullopt;
  if (!b || b->numerator == 0) {
    at_ = start;
    return std::nullopt;
  }
  Ratio value{a->numerator * b->denominator, a->denominator * b->numerator};
  if (value.denominator < 0)
    value.numerator = -value.numerator, value.denominator = -value.denominator;
  return value;
}

bool Cursor::TakeScale(int64_t& exponent) {
  const size_t start = at_;
  SkipSpaces();
  if (!(Take("\\times") || Take("\\cdot") || Take("*") || Take("x"))) return at_ = start, true;
  SkipSpaces();
  if (!Take("10^")) return at_ = start, true;
  const bool braces = Take("{");
  SkipSpaces();
  const int sign = TakeSign();
  const std::string digits = TakeDigits();
  SkipSpaces();
  if (digits.empty() || (braces && !Take("}"))) return at_ = start, true;
  const std::optional<int64_t> read = ReadExponent(digits, sign);
  if (!read) return false;
  exponent = *read;
  return true;
}

std::string_view Trim(std::string_view text, std::string_view characters) {
  const size_t begin = text.find_first_not_of(characters);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(characters) - begin + 1);
}

// Takes off dollars, braces, parentheses and text commands around the whole. `bracketed` where a
// comma now means a pair.
std::string_view Unwrap(std::string_view text, bool& bracketed) {
  static constexpr auto kCommands =
      std::to_array<std::string_view>({"\\text{", "\\textbf{", "\\textrm{", "\\mathrm{",
                                       "\\mathbf{", "\\mbox{", "\\textnormal{", "\\mathit{"});
  while (true) {
    text = Trim(text, " $");
    while (!text.empty() && std::string_view(".,;").find(text.back()) != std::string_view::npos) {
      text = Trim(text.substr(0, text.size() - 1), " $");
    }
    if (text.size() >= 2 && ((text.front() == '{' && text.back() == '}') ||
                             (text.front() == '(' && text.back() == ')'))) {
      text = text.substr(1, text.size() - 2);
      bracketed = true;
      continue;
    }
    const auto* const command =
        std::find_if(kCommands.begin(), kCommands.end(), [&](std::string_view candidate) {
          return text.starts_with(candidate) && text.find('}') == text.size() - 1;
        });
    if (command == kCommands.end()) return text;
    text = text.substr(command->size(), text.size() - command->size() - 1);
  }
}

// "x = 5" -> "5", "\text{Total} = 5" -> "5"; nothing where what stands before is more than a name.
std::optional<std::string_view> BehindName(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return text;
  const std::string_view name = Trim(text.substr(0, equals), " $");
  if (name.empty() || name.size() > kMaxNameBytes ||
      text.find('=', equals + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  bool subscript = false;
  for (const char c : name) {
    subscript = subscript || c == '_';
    const bool plain = IsLetter(c) || std::string_view("\\{}_ ").find(c) != std::string_view::npos;
    if (!plain && !(subscript && IsDigit(c))) return std::nullopt;
  }
  if (!IsLetter(name[0]) && name[0] != '\\') return std::nullopt;
  return text.substr(equals + 1);
}

// The number at the cursor, without its sign.
std::optional<Ratio> TakeUnsigned(Cursor& cursor) {
  if (std::optional<Ratio> fraction = cursor.TakeFraction()) return fraction;
  const size_t start = cursor.Position();
  // Mixed numbers first: digits, a blank, digits/digits; or digits and \frac. Only where the
  // fraction is below 1, else it might as well be a product.
  const std::string whole = cursor.TakeDigits();
  if (!whole.empty() && whole.size() <= kMaxDigits) {
    const bool blank = cursor.Rest().starts_with(' ');
    cursor.SkipSpaces();
    std::optional<Ratio> part = cursor.TakeFraction();
    if (!part && blank) {
      const std::string a = cursor.TakeDigits();
      // "1 000/3" is a thousand, in groups.
      if (!a.empty() && a[0] != '0' && a.size() <= kMaxDigits && cursor.Take("/")) {
        const std::string b = cursor.TakeDigits();
        if (!b.empty() && b.size() <= kMaxDigits) part = Ratio{mpz_class(a, 10), mpz_class(b, 10)};
      }
    }
    if (part) {
      if (part->numerator < 0 || part->numerator >= part->denominator) return std::nullopt;
      part->numerator += mpz_class(whole, 10) * part->denominator;
      return part;
    }
  }
  cursor.MoveTo(start);
  std::optional<Ratio> value = cursor.TakeDecimal();
  if (!value) return std::nullopt;
  int64_t exponent = 0;
  if (!cursor.TakeScale(exponent)) return std::nullopt;
  if (exponent != 0) return Scaled(*std::move(value), exponent);
  const size_t behind = cursor.Position();
  cursor.SkipSpaces();
  if (cursor.Take("/")) {
    cursor.SkipSpaces();
    const int sign = cursor.TakeSign();
    const std::optional<Ratio> divisor = cursor.TakeDecimal();
    if (!divisor) {
      cursor.MoveTo(behind);  // "5/hour": a unit, which the tail decides
      return value;
    }
    if (divisor->numerator == 0) return std::nullopt;
    return Ratio{value->numerator * divisor->denominator * sign,
                 value->denominator * divisor->numerator};
  }
  cursor.MoveTo(behind);
  return value;
}

}  // namespace

absl::StatusOr<ExactNumber> ParseNumber(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return InvalidArgument("expected a number of at most {} bytes, found {}", kMaxTextBytes,
                           text.size());
  }
  const auto error = [&]() {
    return InvalidArgument("expected one number, found \"{}{}\"", text.substr(0, 80),
                           text.size() > 80 ? "..." : "");
  };
  const std::string normal = NormalizeNumberText(text);
  bool bracketed = false;
  std::optional<std::string_view> body = BehindName(Unwrap(normal, bracketed));
  if (!body) return error();
  body = Unwrap(*body, bracketed);
  Cursor cursor(*body, !bracketed);
  int sign = cursor.TakeSign();
  if (cursor.Take("$")) {
    cursor.SkipSpaces();
    if (sign == 1) sign = cursor.TakeSign();
  }
  std::optional<Ratio> value = TakeUnsigned(cursor);
  if (!value) return error();
  // A digit, dot or comma right behind is more of a number than was understood.
  const std::string_view rest = cursor.Rest();
  if (!rest.empty() && (IsDigit(rest[0]) || rest[0] == '.' || rest[0] == ',')) return error();
  const NumberTail tail = ReadNumberTail(rest);
  if (!tail.accepted) return error();
  *value = Scaled(*std::move(value), tail.powers_of_ten);
  return ExactNumber{value->numerator * sign, value->denominator, tail.percent};
}

bool SameValue(const ExactNumber& a, const ExactNumber& b) {
  const mpz_class left = a.numerator * b.denominator, right = b.numerator * a.denominator;
  if (left == right) return true;
  if (a.percent == b.percent) return false;
  return a.percent ? left == right * 100 : right == left * 100;
}

}  // namespace ponder
