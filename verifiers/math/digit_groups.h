#pragma once

#include <vector>

#include "verifiers/math/lexer.h"
#include "verifiers/math/parser.h"

namespace ponder::math {

// Joins what was written in groups into one number: 1{,}234 and 1 000 000 anywhere, 1,234 outside
// brackets where `comma` reads it so, 0,5 as a decimal where `comma` reads it so, 0.\overline{3}
// (as "0.(3)").
void JoinDigitGroups(std::vector<Token>& tokens, CommaReading comma);

// The readings that would change these tokens, the likeliest first.
std::vector<CommaReading> PossibleReadings(const std::vector<Token>& tokens);

}  // namespace ponder::math
