#pragma once

#include <string>
#include <string_view>

namespace ponder {

// The spellings of numbers that models use, brought into one: Unicode minus, blanks, fractions and
// full-width digits to ASCII, LaTeX spacing and \left, \right, \( \) dropped, \dfrac and \tfrac to
// \frac, \% to %, currency signs to $. Linear in the text.
std::string NormalizeNumberText(std::string_view text);

// What may stand behind a number without changing it: units and words ("cm^2", "\text{ km/h}",
// "apples", "^\circ"), at most a few of them, without digits of their own. Variables, functions,
// names of fractions and connectives ("5 or ...", "5x", "4\sqrt{2}", "3 tenths") do change it.
struct NumberTail {
  bool accepted = false;
  bool percent = false;
  int powers_of_ten = 0;  // "million": 6
};
NumberTail ReadNumberTail(std::string_view tail);

}  // namespace ponder
