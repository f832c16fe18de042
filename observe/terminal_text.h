#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ponder {

// Text for a terminal. Columns are those of a terminal: two for wide characters, none for combining
// ones; a byte that is not UTF-8 counts as one.

// What a model wrote must not steer the terminal: control characters (C0 but \n and \t, DEL, C1),
// characters that turn the writing direction and bytes that are not UTF-8 become "?".
std::string WithoutControls(std::string_view text);

// WithoutControls, and white space, line ends too, becomes single spaces.
std::string OneLine(std::string_view text);

int64_t TextColumns(std::string_view text);

// The first characters that have room in `columns`.
std::string_view FirstColumns(std::string_view text, int64_t columns);
// The whole text where it has room, else its beginning and "…", or "…" and its end.
std::string Shorten(std::string_view text, int64_t columns);
std::string ShortenFront(std::string_view text, int64_t columns);

// Lines of at most `columns` (at least 1), broken at spaces where there are any; a line end of the
// text ends a line.
std::vector<std::string> WrapLines(std::string_view text, int64_t columns);

// "▁▃▂▅█": values from the least to the greatest, the mean of neighbours where there are more than
// `columns`. A value that is not finite is a space.
std::string Sparkline(std::span<const double> values, int64_t columns);

// "59 s", "14 min", "2 h 5 min", "2 d 5 h"; "?" where it is not known (not finite).
std::string HumanDuration(double seconds);
// "512 B", "4.2 MiB", "1.3 GiB".
std::string HumanBytes(uint64_t bytes);

// What a stream can show.
struct TerminalSize {
  int64_t columns = 80;  // where the terminal does not say
  int64_t rows = 24;
};
TerminalSize SizeOfTerminal(std::FILE* stream);
// Whether it is a terminal that moves its cursor: TERM is not "dumb".
bool IsLiveTerminal(std::FILE* stream);
// Whether colours are wanted on it: as IsLiveTerminal, and NO_COLOR is not set.
bool WantsColour(std::FILE* stream);

}  // namespace ponder
