#include "verifiers/math/lexer.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>

#include "verifiers/math/syntax.h"

namespace ponder::math {
namespace {

constexpr auto kFunctions = std::to_array<std::string_view>(
    {"abs",  "arccos", "arccot", "arcsin", "arctan", "ceil", "cos", "cosh", "cot",
     "coth", "csc",    "exp",    "floor",  "lg",     "ln",   "log", "sec",  "sgn",
     "sin",  "sinh",   "tan",    "tanh",   "max",    "min",  "gcd", "lcm",  "Re",
     "Im",   "det",    "deg",    "arg",    "acos",   "asin", "atan"});
// Words of plain text that are commands in LaTeX.
constexpr auto kWordCommands =
    std::to_array<std::pair<std::string_view, std::string_view>>({{"and", "and"},
                                                                  {"or", "or"},
                                                                  {"pi", "pi"},
                                                                  {"inf", "infty"},
                                                                  {"infinity", "infty"},
                                                                  {"oo", "infty"},
                                                                  {"sqrt", "sqrt"},
                                                                  {"cbrt", "cbrt"},
                                                                  {"in", "in"},
                                                                  {"binom", "binom"},
                                                                  {"frac", "frac"},
                                                                  {"mod", "mod"},
                                                                  {"theta", "theta"},
                                                                  {"alpha", "alpha"},
                                                                  {"beta", "beta"},
                                                                  {"union", "cup"},
                                                                  {"cup", "cup"},
                                                                  {"degrees", "degree"},
                                                                  {"degree", "degree"}});
constexpr auto kPercents = std::to_array<std::string_view>({"percent", "pct", "percentage"});
// Units without a vowel, which would else be products of variables.
constexpr auto kUnits = std::to_array<std::string_view>(
    {"cm", "mm",  "km", "kg",  "mg",  "ml",  "mL", "lb",    "lbs", "ft",
     "hr", "hrs", "yd", "yds", "mph", "kmh", "sq", "min",   "sec", "ms",
     "kW", "kWh", "Hz", "kJ",  "mi",  "pm",  "am", "cents", "rad"});
constexpr auto kTextCommands = std::to_array<std::string_view>(
    {"text", "textbf", "textit", "textrm", "textnormal", "mbox", "hbox", "mathrm", "operatorname",
     "textsf", "texttt", "mathsf", "mathtt", "emph", "textup"});
// Commands that only change how their argument looks.
constexpr auto kDecorations = std::to_array<std::string_view>(
    {"mathbf",         "boldsymbol", "bm",         "mathcal", "mathfrak", "mathscr",   "vec",
     "overrightarrow", "hat",        "widehat",    "bar",     "tilde",    "widetilde", "underline",
     "boxed",          "fbox",       "ensuremath", "mathop",  "phantom",  "color",     "cancel"});

constexpr size_t kLongestTextCommand = 400;  // bytes inside \text{}

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }
bool IsUpper(char c) { return absl::ascii_isupper(static_cast<unsigned char>(c)); }
bool IsHigh(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// A run of letters that reads as a word rather than as a product of variables.
bool IsWord(std::string_view run) {
  if (Has(kUnits, run)) return true;
  if (run.size() < 3) return false;
  const bool only_variables = run.find_first_not_of("abcdxyz") == std::string_view::npos;
  return !only_variables && run.find_first_of("aeiouAEIOU") != std::string_view::npos;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < text_.size()) {
      if (static_cast<int64_t>(tokens_.size()) > kMaxTokens) {
        return InvalidArgument("more than {} tokens", kMaxTokens);
      }
      const char c = text_[at_];
      if (c == ' ') {
        space_ = true;
        ++at_;
      } else if (IsDigit(c) || (c == '.' && IsDigit(At(at_ + 1)) && !AfterNumber())) {
        Number();
      } else if (IsLetter(c) || IsHigh(c)) {
        Letters();
      } else if (c == '\\') {
        PONDER_RETURN_IF_ERROR(Command());
      } else {
        Sign();
      }
    }
    Push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  char At(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  bool AfterNumber() const {
    return !space_ && !tokens_.empty() && tokens_.back().kind == TokenKind::kNumber;
  }

  void Push(TokenKind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), space_});
    space_ = false;
  }

  void Number() {
    const size_t begin = at_;
    while (IsDigit(At(at_))) ++at_;
    if (At(at_) == '.' && IsDigit(At(at_ + 1))) {
      ++at_;
      while (IsDigit(At(at_))) ++at_;
    }
    Push(TokenKind::kNumber, std::string(text_.substr(begin, at_ - begin)));
  }

  void Letters() {
    const size_t begin = at_;
    while (at_ < text_.size() && (IsLetter(text_[at_]) || IsHigh(text_[at_]))) ++at_;
    Word(text_.substr(begin, at_ - begin));
  }

  void Word(std::string_view run) {
    const std::string lower = absl::AsciiStrToLower(std::string(run));
    if (Has(kPercents, lower)) return Push(TokenKind::kSign, "%");
    for (const auto& [word, command] : kWordCommands) {
      if (word == lower) return Push(TokenKind::kCommand, std::string(command));
    }
    if (IsFunctionName(run)) return Push(TokenKind::kCommand, std::string(run));
    if (run.size() > 1 && std::any_of(run.begin(), run.end(), IsHigh)) {
      return Push(TokenKind::kText, std::string(run));
    }
    const bool capitals = std::all_of(run.begin(), run.end(), IsUpper);
    if (run.size() == 1 || (capitals && run.size() <= 4)) {
      return Push(TokenKind::kName, std::string(run));
    }
    if (IsWord(run)) return Push(TokenKind::kText, std::string(run));
    for (const char c : run) Push(TokenKind::kName, std::string(1, c));
  }

  // The balanced group behind a command, without its braces; advances behind it.
  absl::StatusOr<std::string_view> Group() {
    while (At(at_) == ' ') ++at_;
    if (At(at_) != '{') {
      const std::string_view one = text_.substr(at_, 1);
      at_ = std::min(at_ + 1, text_.size());
      return one;
    }
    int64_t depth = 0;
    for (size_t i = at_; i < std::min(text_.size(), at_ + kLongestTextCommand); ++i) {
      if (text_[i] == '{') ++depth;
      if (text_[i] == '}' && --depth == 0) {
        const std::string_view content = text_.substr(at_ + 1, i - at_ - 1);
        at_ = i + 1;
        return content;
      }
    }
    return InvalidArgument("a group of words is never closed");
  }

  absl::Status Command() {
    const char next = At(at_ + 1);
    if (!IsLetter(next)) {
      at_ += 2;
      if (next == '{') Push(TokenKind::kOpenSet, "{");
      if (next == '}') Push(TokenKind::kCloseSet, "}");
      if (next == '|') Push(TokenKind::kSign, "|");
      if (next == '\\') Push(TokenKind::kRow, "");
      return absl::OkStatus();
    }
    const size_t begin = ++at_;
    while (IsLetter(At(at_))) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (Has(kTextCommands, name)) {
      PONDER_ASSIGN_OR_RETURN(const std::string_view content, Group());
      return Text(content);
    }
    if (Has(kDecorations, name)) return absl::OkStatus();
    Push(TokenKind::kCommand, std::string(name));
    return absl::OkStatus();
  }

  // What stands in \text{}: words are words even where they would be variables outside.
  absl::Status Text(std::string_view content) {
    space_ = true;
    if (content.find('\\') != std::string_view::npos) return Inside(content);
    for (size_t i = 0; i < content.size();) {
      size_t end = i;
      while (end < content.size() && (IsLetter(content[end]) || IsHigh(content[end]))) ++end;
      if (end > i) {
        const std::string_view run = content.substr(i, end - i);
        const std::string lower = absl::AsciiStrToLower(std::string(run));
        const bool known = lower == "and" || lower == "or" || Has(kPercents, lower) ||
                           IsFunctionName(run) || run.size() == 1;
        if (known) {
          Word(run);
        } else {
          Push(TokenKind::kText, std::string(run));
        }
        i = end;
        continue;
      }
      // Everything else means the same as outside.
      size_t stop = i;
      while (stop < content.size() && !IsLetter(content[stop]) && !IsHigh(content[stop])) ++stop;
      PONDER_RETURN_IF_ERROR(Inside(content.substr(i, stop - i)));
      i = stop;
    }
    return absl::OkStatus();
  }

  // The tokens of a part, as if it stood by itself. Every level is shorter than the one around it
  // by a command's name, so the recursion is at most kLongestTextCommand / 6 deep.
  absl::Status Inside(std::string_view part) {
    Lexer inner(part);
    inner.space_ = space_;
    PONDER_ASSIGN_OR_RETURN(std::vector<Token> tokens, inner.Run());
    tokens.pop_back();
    space_ = part.ends_with(' ');
    std::move(tokens.begin(), tokens.end(), std::back_inserter(tokens_));
    return absl::OkStatus();
  }

  void Sign() {
    const char c = text_[at_], next = At(at_ + 1);
    const auto pair = [&](char first, char second, std::string_view command) {
      if (c != first || next != second) return false;
      at_ += 2;
      Push(TokenKind::kCommand, std::string(command));
      return true;
    };
    if (pair('<', '=', "le") || pair('>', '=', "ge") || pair('!', '=', "ne") ||
        pair('+', '-', "pm") || pair('*', '*', "power") || pair('=', '=', "equals") ||
        pair('-', '>', "to")) {
      return;
    }
    if (c == '.' && next == '.') {
      while (At(at_) == '.') ++at_;
      return Push(TokenKind::kCommand, "ldots");
    }
    ++at_;
    Push(TokenKind::kSign, std::string(1, c));
  }

  std::string_view text_;
  size_t at_ = 0;
  bool space_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

bool IsFunctionName(std::string_view name) { return Has(kFunctions, name); }

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text) {
  if (static_cast<int64_t>(text.size()) > kMaxTextBytes) {
    return InvalidArgument("{} bytes are too long for an answer; at most {} are read", text.size(),
                           kMaxTextBytes);
  }
  return Lexer(text).Run();
}

}  // namespace ponder::math
