#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder::math {

enum class TokenKind {
  kNumber,   // digits, maybe with a decimal point: "12", "0.5", ".4"
  kName,     // one variable: "x", "alpha", "AB"
  kCommand,  // a function, operator or relation by its LaTeX name: "frac", "sin", "le", "and"
  kText,     // words that are no mathematics: "cm", "apples"
  kSign,     // one character: + - * / ^ _ = < > ! % , ; : | ( ) [ ] { } & ' .
  kOpenSet,  // \{
  kCloseSet,
  kRow,  // \\, the end of a matrix row
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  bool space_before = false;

  bool IsSign(char c) const { return kind == TokenKind::kSign && text[0] == c; }
  bool IsCommand(std::string_view name) const {
    return kind == TokenKind::kCommand && text == name;
  }
};

// The tokens of text that PlainMathText() has cleaned, an end token last. INVALID_ARGUMENT for more
// than kMaxTextBytes or kMaxTokens, or an unclosed \text{.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text);

// Functions of one argument that are written with or without parentheses.
bool IsFunctionName(std::string_view name);

}  // namespace ponder::math
