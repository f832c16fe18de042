#include "observe/terminal_text.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace ponder {
namespace {

constexpr std::string_view kMore = "…";

struct Character {
  UChar32 code = 0;  // negative: not UTF-8
  size_t bytes = 0;
};

Character CharacterAt(std::string_view text, size_t at) {
  // A piece long enough for any character: ICU counts in 32 bits.
  const std::string_view piece = text.substr(at, 4);
  int32_t next = 0;
  Character character;
  U8_NEXT(piece.data(), next, static_cast<int32_t>(piece.size()), character.code);
  character.bytes = static_cast<size_t>(next);
  return character;
}

bool Steers(UChar32 code) {
  if (code == '\n' || code == '\t') return false;
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true;
  // Line and paragraph separators; marks, embeddings, overrides and isolates of direction.
  return (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x200e || code == 0x200f || code == 0x61c;
}

int64_t ColumnsOf(UChar32 code) {
  if (code < 0) return 1;
  if (code < 0x300) return code == 0xad ? 0 : 1;
  switch (u_charType(code)) {
    case U_NON_SPACING_MARK:
    case U_ENCLOSING_MARK:
    case U_FORMAT_CHAR:
      return 0;
    default:
      break;
  }
  const int32_t width = u_getIntPropertyValue(code, UCHAR_EAST_ASIAN_WIDTH);
  return width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
}

// Where the last characters begin that have room in `columns`.
size_t LastColumnsBegin(std::string_view text, int64_t columns) {
  int64_t over = TextColumns(text) - columns;
  size_t at = 0;
  while (at < text.size() && over > 0) {
    const Character character = CharacterAt(text, at);
    over -= ColumnsOf(character.code);
    at += character.bytes;
  }
  return at;
}

}  // namespace

std::string WithoutControls(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    if (Steers(character.code)) {
      clean += '?';
    } else {
      clean += text.substr(at, character.bytes);
    }
    at += character.bytes;
  }
  return clean;
}

std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : WithoutControls(text)) {
    const bool space = c == ' ' || c == '\n' || c == '\t';
    if (!space) line += c;
    if (space && !line.empty() && line.back() != ' ') line += ' ';
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

int64_t TextColumns(std::string_view text) {
  int64_t columns = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    columns += ColumnsOf(character.code);
    at += character.bytes;
  }
  return columns;
}

std::string_view FirstColumns(std::string_view text, int64_t columns) {
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    columns -= ColumnsOf(character.code);
    if (columns < 0) return text.substr(0, at);
    at += character.bytes;
  }
  return text;
}

std::string Shorten(std::string_view text, int64_t columns) {
  if (TextColumns(text) <= columns) return std::string(text);
  if (columns < 1) return "";
  return std::string(FirstColumns(text, columns - 1)).append(kMore);
}

std::string ShortenFront(std::string_view text, int64_t columns) {
  if (TextColumns(text) <= columns) return std::string(text);
  if (columns < 1) return "";
  return std::string(kMore).append(text.substr(LastColumnsBegin(text, columns - 1)));
}

std::vector<std::string> WrapLines(std::string_view text, int64_t columns) {
  std::vector<std::string> lines;
  while (true) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    while (true) {
      std::string_view first = FirstColumns(line, std::max<int64_t>(columns, 1));
      // A character wider than the line still has to go somewhere.
      if (first.empty() && !line.empty()) first = line.substr(0, CharacterAt(line, 0).bytes);
      if (first.size() == line.size()) break;
      const size_t space = line[first.size()] == ' ' ? first.size() : first.rfind(' ');
      const bool breaks = space != std::string_view::npos && space > 0;
      lines.emplace_back(line.substr(0, breaks ? space : first.size()));
      line.remove_prefix(breaks ? space + 1 : first.size());
    }
    lines.emplace_back(line);
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

std::string Sparkline(std::span<const double> values, int64_t columns) {
  constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto count = static_cast<int64_t>(values.size());
  const int64_t cells = std::min(count, columns);
  std::vector<double> means;
  double least = std::numeric_limits<double>::infinity(), greatest = -least;
  for (int64_t cell = 0; cell < cells; ++cell) {
    double sum = 0;
    int64_t finite = 0;
    for (int64_t i = cell * count / cells; i < (cell + 1) * count / cells; ++i) {
      if (!std::isfinite(values[i])) continue;
      sum += values[i];
      ++finite;
    }
    means.push_back(finite == 0 ? NAN : sum / static_cast<double>(finite));
    if (finite == 0) continue;
    least = std::min(least, means.back());
    greatest = std::max(greatest, means.back());
  }
  std::string line;
  for (const double mean : means) {
    if (!std::isfinite(mean)) {
      line += ' ';
      continue;
    }
    const double share = greatest > least ? (mean - least) / (greatest - least) : 0;
    line += kBlocks[std::clamp<int64_t>(std::llround(share * 7), 0, 7)];
  }
  return line;
}

std::string HumanDuration(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  const auto whole = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e12) + 0.5);
  if (whole < 90) return fmt::format("{} s", whole);
  const int64_t minutes = (whole + 30) / 60;
  if (minutes < 120) return fmt::format("{} min", minutes);
  if (minutes < 48 * 60) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  const int64_t hours = (minutes + 30) / 60;
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

TerminalSize SizeOfTerminal(std::FILE* stream) {
  winsize said{};
  TerminalSize size;
  if (ioctl(fileno(stream), TIOCGWINSZ, &said) != 0) return size;
  if (said.ws_col > 0) size.columns = said.ws_col;
  if (said.ws_row > 0) size.rows = said.ws_row;
  return size;
}

bool IsLiveTerminal(std::FILE* stream) {
  const char* const kind = std::getenv("TERM");
  return isatty(fileno(stream)) != 0 && (kind == nullptr || std::string_view(kind) != "dumb");
}

bool WantsColour(std::FILE* stream) {
  const char* const refused = std::getenv("NO_COLOR");
  return IsLiveTerminal(stream) && (refused == nullptr || *refused == '\0');
}

}  // namespace ponder
