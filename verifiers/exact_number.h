#pragma once

#include <gmpxx.h>

#include <string_view>

#include "base/status.h"

namespace ponder {

// A rational number as it was written; not reduced.
struct ExactNumber {
  mpz_class numerator = 0;
  mpz_class denominator = 1;  // > 0
  bool percent = false;
};

// Reads one number: integers of any size (to 100,000 digits) with thousands separators (1,234 or 1
// 234), decimals (also with a decimal comma where it cannot separate thousands), a/b, \frac{a}{b},
// \frac12, mixed 1 1/2 and 1\frac{1}{2}, 1.5e3, 1.5 \times 10^{3}, a percent sign, currency signs,
// units and words behind, "x =" before. Anything else is INVALID_ARGUMENT: lists, pairs, sums,
// roots, variables, "5 or 7". Sizes are checked before anything is computed.
absl::StatusOr<ExactNumber> ParseNumber(std::string_view text);

// Exactly equal values. Where one of the two is a percentage, p% equals both p and p/100, since a
// question "how many percent" is asked either way; 12% and 0.12% differ.
bool SameValue(const ExactNumber& a, const ExactNumber& b);

}  // namespace ponder
