#include "verifiers/math/parser.h"

#include <absl/strings/ascii.h>

#include <algorithm>

#include "verifiers/math/answer_parser.h"
#include "verifiers/math/digit_groups.h"
#include "verifiers/math/lexer.h"
#include "verifiers/math/plain_text.h"

namespace ponder::math {
namespace {

// Letters only, with the punctuation of prose: "(C)", "Yes", "The midpoints form a hexagon".
NodePtr TextNode(std::string_view cleaned) {
  std::string words;
  bool letters = false;
  for (const char c : cleaned) {
    if (absl::ascii_isalpha(static_cast<unsigned char>(c)) ||
        static_cast<unsigned char>(c) >= 0x80) {
      words += absl::ascii_tolower(static_cast<unsigned char>(c));
      letters = true;
    } else if (std::string_view(" -'").find(c) != std::string_view::npos) {
      if (!words.empty() && words.back() != ' ') words += ' ';
    } else if (std::string_view("().,;:!?\"{}").find(c) == std::string_view::npos) {
      return nullptr;
    }
  }
  while (words.ends_with(' ')) words.pop_back();
  return letters ? MakeNode(NodeKind::kText, {}, std::move(words)) : nullptr;
}

// The words without the commands around them.
std::string WithoutTextCommands(const std::vector<Token>& tokens) {
  std::string words;
  for (const Token& token : tokens) {
    if (token.space_before) words += ' ';
    if (token.kind == TokenKind::kCommand && token.text != "and" && token.text != "or")
      words += '\\';
    words += token.text;
  }
  return words;
}

}  // namespace

absl::StatusOr<NodePtr> Parse(std::string_view text, CommaReading comma) {
  if (static_cast<int64_t>(text.size()) > kMaxTextBytes) {
    return InvalidArgument("{} bytes are too long for an answer; at most {} are read", text.size(),
                           kMaxTextBytes);
  }
  PONDER_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(PlainMathText(text)));
  JoinDigitGroups(tokens, comma);
  const bool wordy = std::any_of(tokens.begin(), tokens.end(),
                                 [](const Token& token) { return token.kind == TokenKind::kText; });
  const std::string words = wordy ? WithoutTextCommands(tokens) : "";
  absl::StatusOr<NodePtr> parsed = AnswerParser(std::move(tokens)).Run();
  if (!parsed.ok() && wordy) {
    if (NodePtr node = TextNode(words)) return node;
  }
  return parsed;
}

std::vector<CommaReading> CommaReadings(std::string_view text) {
  if (text.find(',') == std::string_view::npos) return {CommaReading::kThousands};
  const absl::StatusOr<std::vector<Token>> tokens = Tokenize(PlainMathText(text));
  if (!tokens.ok()) return {CommaReading::kThousands};
  return PossibleReadings(*tokens);
}

}  // namespace ponder::math
