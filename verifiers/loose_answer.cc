#include "verifiers/loose_answer.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <optional>

#include "verifiers/answer.h"

namespace ponder {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr size_t kMaxWholeBytes = 300;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

struct Span {
  size_t begin = 0, end = 0;  // of the content
};

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == kNone) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// The last pair of marks, without crossing pairs: \[ ... \].
std::optional<Span> LastPair(std::string_view text, std::string_view open, std::string_view close) {
  const size_t end = text.rfind(close);
  if (end == kNone || end == 0) return std::nullopt;
  const size_t begin = text.rfind(open, end - 1);
  if (begin == kNone) return std::nullopt;
  return Span{begin + open.size(), end};
}

// Dollar signs pair within a line ($$ also over lines). One that is left over is money where it
// touches a number, else an environment that was never closed.
struct Dollars {
  std::optional<Span> last;
  bool broken = false;  // behind `last`
};

bool TouchesNumber(std::string_view text, size_t dollar) {
  size_t behind = dollar + 1;
  while (behind < text.size() && text[behind] == ' ') ++behind;
  if (behind < text.size() && (IsDigit(text[behind]) || text[behind] == '.')) return true;
  size_t before = dollar;
  while (before > 0 && text[before - 1] == ' ') --before;
  return before > 0 && (IsDigit(text[before - 1]) || text[before - 1] == '%');
}

Dollars FindDollars(std::string_view text) {
  Dollars dollars;
  size_t open = kNone;
  const auto leave = [&] {
    if (open != kNone && !TouchesNumber(text, open)) dollars.broken = true;
    open = kNone;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '\n') {
      leave();
    } else if (text.substr(i, 2) == "$$" && open == kNone) {
      const size_t close = text.find("$$", i + 2);
      if (close != kNone) {
        dollars = {Span{i + 2, close}, false};
        i = close + 1;
      } else {
        ++i;
      }
    } else if (c == '$') {
      if (open == kNone) {
        open = i;
      } else {
        dollars = {Span{open + 1, i}, false};
        open = kNone;
      }
    }
  }
  leave();
  return dollars;
}

// Words of prose outside $...$: "We find that $x < 3$" is no expression as a whole.
int64_t CountWords(std::string_view text) {
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '$') inside = !inside;
    if (!absl::ascii_isalpha(static_cast<unsigned char>(text[i]))) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && absl::ascii_isalpha(static_cast<unsigned char>(text[end]))) ++end;
    const std::string_view word = text.substr(i, end - i);
    const bool command = i > 0 && text[i - 1] == '\\';
    if (!inside && !command && word.size() > 1 && word != "and" && word != "or") ++words;
    i = end;
  }
  return words;
}

}  // namespace

std::vector<std::string_view> FindLooseAnswers(std::string_view text) {
  std::vector<std::string_view> answers;
  const auto add = [&](std::string_view answer) {
    if (answer = Trim(answer); !answer.empty()) answers.push_back(answer);
  };
  text = Trim(text);
  const Dollars dollars = FindDollars(text);
  std::optional<Span> last = dollars.last;
  constexpr auto kPairs = std::to_array<std::pair<std::string_view, std::string_view>>(
      {{"\\(", "\\)"},
       {"\\[", "\\]"},
       {"\\begin{align*}", "\\end{align*}"},
       {"\\begin{align}", "\\end{align}"},
       {"\\begin{equation}", "\\end{equation}"}});
  for (const auto& [open, close] : kPairs) {
    const std::optional<Span> pair = LastPair(text, open, close);
    if (pair && (!last || pair->end > last->end)) last = pair;
  }
  // A sentence with mathematics in it says which part of it is the answer.
  constexpr int64_t kProse = 2;
  if (text.size() <= kMaxWholeBytes && (!last || CountWords(text) < kProse)) add(text);
  if (const std::optional<Span> bold = LastPair(text, "**", "**"))
    add(text.substr(bold->begin, bold->end - bold->begin));
  if (dollars.broken) return answers;
  const std::optional<std::string_view> number = FindLastNumber(text);
  const bool number_later =
      number && (!last || static_cast<size_t>(number->data() - text.data()) >= last->end);
  if (number_later) add(*number);
  if (last) add(text.substr(last->begin, last->end - last->begin));
  if (number && !number_later) add(*number);
  return answers;
}

}  // namespace ponder
