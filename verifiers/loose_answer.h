#pragma once

#include <string_view>
#include <vector>

namespace ponder {

// Where the answer may stand in a text that marks none, the likeliest place first: what is printed
// bold last, the whole text where it is short, then the last mathematics environment or number,
// whichever comes later. For evaluation: a reward needs a mark. Empty where the last environment is
// never closed. Views into the text; linear.
std::vector<std::string_view> FindLooseAnswers(std::string_view text);

}  // namespace ponder
