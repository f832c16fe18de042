#include "verifiers/math/digit_groups.h"

#include <algorithm>

namespace ponder::math {
namespace {

bool IsWhole(const Token& token) {
  return token.kind == TokenKind::kNumber && token.text.find('.') == std::string::npos;
}

// A first group of one to three digits that does not begin with 0.
bool IsFirstGroup(const Token& token) {
  return IsWhole(token) && token.text.size() <= 3 && token.text[0] != '0';
}

// Three digits, maybe with decimals behind.
bool IsLaterGroup(const Token& token) {
  return token.kind == TokenKind::kNumber && std::min(token.text.find('.'), token.text.size()) == 3;
}

int64_t DepthChange(const Token& token) {
  if (token.IsSign('(') || token.IsSign('[') || token.IsSign('{')) return 1;
  if (token.IsSign(')') || token.IsSign(']') || token.IsSign('}')) return -1;
  return token.kind == TokenKind::kOpenSet ? 1 : token.kind == TokenKind::kCloseSet ? -1 : 0;
}

bool CommaAt(const std::vector<Token>& tokens, size_t i) {
  return tokens[i].IsSign(',') && !tokens[i].space_before && i + 1 < tokens.size() &&
         !tokens[i + 1].space_before;
}

// Inside brackets a comma can only be a decimal one where semicolons separate: (0,5; 1).
bool HasSemicolons(const std::vector<Token>& tokens) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [](const Token& token) { return token.IsSign(';'); });
}

// How many tokens behind a first group at `i` belong to the same number, with what is between them.
class Groups {
 public:
  Groups(const std::vector<Token>& tokens, size_t first) : tokens_(tokens), end_(first + 1) {
    digits_ = tokens[first].text;
  }

  // "{,}" and a group.
  bool TakeForced() {
    return end_ + 3 < tokens_.size() && tokens_[end_].IsSign('{') &&
           tokens_[end_ + 1].IsSign(',') && tokens_[end_ + 2].IsSign('}') &&
           IsLaterGroup(tokens_[end_ + 3]) && Take(end_ + 3);
  }
  bool TakeComma() {
    return end_ + 1 < tokens_.size() && CommaAt(tokens_, end_) && IsLaterGroup(tokens_[end_ + 1]) &&
           Take(end_ + 1);
  }
  bool TakeSpaced() {
    return end_ < tokens_.size() && tokens_[end_].space_before && IsLaterGroup(tokens_[end_]) &&
           Take(end_);
  }
  const std::string& Digits() const { return digits_; }
  size_t End() const { return end_; }

 private:
  bool Take(size_t group) {
    if (digits_.find('.') != std::string::npos) return false;
    digits_ += tokens_[group].text;
    end_ = group + 1;
    return true;
  }

  const std::vector<Token>& tokens_;
  size_t end_;
  std::string digits_;
};

}  // namespace

void JoinDigitGroups(std::vector<Token>& tokens, CommaReading comma) {
  const bool semicolons = HasSemicolons(tokens);
  std::vector<Token> out;
  out.reserve(tokens.size());
  int64_t depth = 0;
  for (size_t i = 0; i < tokens.size();) {
    depth += DepthChange(tokens[i]);
    if (tokens[i].kind != TokenKind::kNumber) {
      out.push_back(std::move(tokens[i++]));
      continue;
    }
    Groups groups(tokens, i);
    if (IsFirstGroup(tokens[i])) {
      if (groups.TakeForced()) {
        while (groups.TakeForced()) {
        }
      } else if (groups.TakeSpaced()) {
        while (groups.TakeSpaced()) {
        }
      } else if (depth == 0 && comma == CommaReading::kThousands) {
        while (groups.TakeComma()) {
        }
      }
    }
    Token number = tokens[i];
    number.text = groups.Digits();
    size_t end = groups.End();
    if (comma == CommaReading::kDecimal && (depth == 0 || semicolons) && IsWhole(number) &&
        end + 1 < tokens.size() && CommaAt(tokens, end) && IsWhole(tokens[end + 1])) {
      number.text += "." + tokens[end + 1].text;
      end += 2;
    }
    // 0.\overline{3}: the lexer leaves "0", ".", the command and its group, or "0.1" before them.
    size_t bar = end;
    if (bar < tokens.size() && tokens[bar].IsSign('.')) ++bar;
    if (bar + 3 < tokens.size() &&
        (tokens[bar].IsCommand("overline") || tokens[bar].IsCommand("dot")) &&
        tokens[bar + 1].IsSign('{') && IsWhole(tokens[bar + 2]) && tokens[bar + 3].IsSign('}') &&
        (bar > end || !IsWhole(number))) {
      number.text += std::string(IsWhole(number) ? "." : "") + "(" + tokens[bar + 2].text + ")";
      end = bar + 4;
    }
    out.push_back(std::move(number));
    i = end;
  }
  tokens = std::move(out);
}

std::vector<CommaReading> PossibleReadings(const std::vector<Token>& tokens) {
  const bool semicolons = HasSemicolons(tokens);
  bool thousands = false, decimal = false;
  int64_t depth = 0;
  for (size_t i = 0; i + 2 < tokens.size(); ++i) {
    depth += DepthChange(tokens[i]);
    if (!IsWhole(tokens[i]) || !CommaAt(tokens, i + 1) ||
        tokens[i + 2].kind != TokenKind::kNumber) {
      continue;
    }
    if (depth == 0 && IsFirstGroup(tokens[i]) && IsLaterGroup(tokens[i + 2])) {
      thousands = true;
    } else if (IsWhole(tokens[i + 2]) && (depth == 0 || semicolons)) {
      decimal = true;
    }
  }
  std::vector<CommaReading> readings;
  if (thousands) readings.push_back(CommaReading::kThousands);
  readings.push_back(CommaReading::kList);
  if (decimal) readings.push_back(CommaReading::kDecimal);
  return readings;
}

}  // namespace ponder::math
