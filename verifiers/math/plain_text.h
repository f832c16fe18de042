#pragma once

#include <string>
#include <string_view>

namespace ponder::math {

// One spelling for what means the same, ready for the lexer: Unicode signs, letters, digits, powers
// and fractions to LaTeX or ASCII; sizes, spacing and mathematics delimiters ($, \( \), \[ \],
// \left, \displaystyle, **) to blanks or nothing; \dfrac and its like to \frac; backslashes that
// were escaped twice (\\frac) once; currency signs dropped. Linear; the result is at most ten times
// as long.
std::string PlainMathText(std::string_view text);

}  // namespace ponder::math
