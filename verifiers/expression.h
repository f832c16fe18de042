#pragma once

#include <gmpxx.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// An arithmetic expression of whole numbers, + - * / and parentheses, in postfix order. `~` is the
// minus of one operand.
struct Expression {
  struct Token {
    char operation = 0;  // + - * / ~; 0: a number
    std::string digits;
  };
  std::vector<Token> tokens;
  std::string claimed;  // "45" of "(12 + 3) * 3 = 45", or empty
};

// Reads at most 4096 bytes with parentheses nested at most 64 deep; also takes the signs of print
// (× ÷ −, \times, \cdot, \div, \left( \right)). Computes nothing.
absl::StatusOr<Expression> ParseExpression(std::string_view text);

// The exact value; empty where it divides by zero. The numbers' sizes are the caller's to limit.
std::optional<mpq_class> Evaluate(const Expression& expression);

}  // namespace ponder
