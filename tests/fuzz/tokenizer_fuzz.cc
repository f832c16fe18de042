#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/byte_alphabet.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// Every byte is a token and some merges are there: whatever goes in comes out again.
std::unique_ptr<Tokenizer> MakeTokenizer() {
  std::string vocabulary;
  int id = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const char bytes[1] = {static_cast<char>(byte)};
    std::string token = TokenOfBytes({bytes, 1});
    if (token == "\"" || token == "\\") token.insert(0, "\\");
    vocabulary += (id == 0 ? "\"" : ",\"") + token + "\":" + std::to_string(id);
    ++id;
  }
  for (const char* token : {"aa", "aaaa", "ab", "\u0120\u0120", "\u0120a"}) {
    vocabulary += std::string(",\"") + token + "\":" + std::to_string(id++);
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = ParseTokenizer(
      R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
          "decoder":{"type":"ByteLevel"},
          "added_tokens":[{"id":261,"content":"<|end|>","special":true}],
          "model":{"type":"BPE","merges":["a a","aa aa","a b",")"
      "\u0120 \u0120\",\"\u0120 a\"],\"vocab\":{" +
      vocabulary + "}}}");
  Require(tokenizer.ok());
  return *std::move(tokenizer);
}

}  // namespace
}  // namespace ponder

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string input(reinterpret_cast<const char*>(data), size);

  // A file from anywhere is read or refused, and then it works.
  if (const auto tokenizer = ParseTokenizer(input); tokenizer.ok()) {
    const std::string text = "a b\n\t " + ToValidUtf8(input.substr(0, 200));
    (*tokenizer)->Decode((*tokenizer)->Encode(text));
  }
  (void)RecogniseChatTemplate(input);

  static const std::unique_ptr<Tokenizer> tokenizer = MakeTokenizer();
  const std::vector<int32_t> ids = tokenizer->Encode(input);
  const std::string valid = ToValidUtf8(input);
  Require(IsValidUtf8(valid));
  Require(tokenizer->Decode(ids, false) == valid);
  for (const int32_t id : ids) Require(id >= 0 && id < tokenizer->Size());
  return 0;
}
