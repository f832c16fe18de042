// Whatever a candidate's process writes: it is taken apart or refused, and what passes has the form
// of its kind.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/code/wire.h"

namespace {

using namespace ponder;
using namespace std::string_literals;

constexpr Nonce kNonce = {'n'};

std::string Frame(uint32_t number, AnswerKind kind, const std::string& payload) {
  return std::string(kNonce.data(), kNonce.size()) + LengthPrefix(number) +
         static_cast<char>(kind) + LengthPrefix(payload.size()) + payload;
}

void CheckTaken(const Answer& answer) {
  PONDER_CHECK(CheckAnswer(answer).ok());
  if (answer.kind == AnswerKind::kRaised || answer.kind == AnswerKind::kSyntax) {
    PONDER_CHECK(TextsOf(answer.payload).size() == 3);
  }
  if (answer.kind == AnswerKind::kValue) PONDER_CHECK(CheckPlainValue(answer.payload).ok());
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string text = "u\2\0\0\0ab"s, one = "i\1\0\0\0"s;
  const std::string texts = "(\3\0\0\0"s + text + text + text;
  const std::string nested = "{"s + text + "[\2\0\0\0"s + one + "<\1\0\0\0"s + one + "("s +
                             "\1\0\0\0N"s + "l\xfe\xff\xff\xff\1\0\2\0"s + "0"s;
  const std::string stream =
      Frame(0, AnswerKind::kReady, "N") + Frame(1, AnswerKind::kValue, nested) +
      Frame(2, AnswerKind::kHandle, "(\3\0\0\0"s + one + text + text) +
      Frame(3, AnswerKind::kRaised, texts) + Frame(4, AnswerKind::kMissing, text) +
      Frame(5, AnswerKind::kValueAndArguments, "(\2\0\0\0N[\1\0\0\0N"s);
  return {"\x10"s + stream, "\1"s + stream, "\xff"s + Frame(0, AnswerKind::kSyntax, texts),
          "\0"s + nested, "\0"s + "g\0\0\0\0\0\0\xf0\x3f"s};
}

// The first byte: 0 takes the rest as a value, else the stream comes in pieces of that many bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 0) {
    const bool plain = CheckPlainValue(rest).ok();
    PONDER_CHECK(plain == CheckAnswer({1, AnswerKind::kValue, std::string(rest)}).ok());
    return 0;
  }
  AnswerReader reader(kNonce, {.answer_bytes = 1 << 12, .total_bytes = 1 << 15});
  while (!rest.empty()) {
    const std::string_view piece = rest.substr(0, data[0]);
    rest.remove_prefix(piece.size());
    if (!reader.Append(piece).ok()) return 0;
    for (;;) {
      const absl::StatusOr<std::optional<Answer>> answer = reader.Next();
      if (!answer.ok()) return 0;
      if (!*answer) break;
      CheckTaken(**answer);
    }
  }
  return 0;
}
