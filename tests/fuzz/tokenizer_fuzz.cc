#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "model/byte_alphabet.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "model/unicode_text.h"
#include "tests/fuzz/fuzz_seeds.h"

namespace ponder {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// Every byte is a token and some merges are there: whatever goes in comes out again.
std::string ByteTokenizerJson() {
  std::string vocabulary;
  int id = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const char bytes[1] = {static_cast<char>(byte)};
    std::string token = TokenOfBytes({bytes, 1});
    if (token == "\"" || token == "\\") token.insert(0, "\\");
    vocabulary += (id == 0 ? "\"" : ",\"") + token + "\":" + std::to_string(id);
    ++id;
  }
  for (const char* token : {"aa", "aaaa", "ab", "ĠĠ", "Ġa"}) {
    vocabulary += std::string(",\"") + token + "\":" + std::to_string(id++);
  }
  return R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},
      "added_tokens":[{"id":261,"content":"<|end|>","special":true}],
      "model":{"type":"BPE","merges":["a a","aa aa","a b","Ġ Ġ","Ġ a"],"vocab":{)" +
         vocabulary + "}}}";
}

std::unique_ptr<Tokenizer> MakeByteTokenizer() {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = ParseTokenizer(ByteTokenizerJson());
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

  static const std::unique_ptr<Tokenizer> tokenizer = MakeByteTokenizer();
  const std::vector<int32_t> ids = tokenizer->Encode(input);
  const std::string valid = ToValidUtf8(input);
  Require(IsValidUtf8(valid));
  Require(tokenizer->Decode(ids, false) == valid);
  for (const int32_t id : ids) Require(id >= 0 && id < tokenizer->Size());
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {
      R"json({"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"}]},
    "pre_tokenizer":{"type":"Sequence","pretokenizers":[
      {"type":"Split","pattern":{"Regex":"(?i:'s|'t)|[^\\r\\n\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)"},
       "behavior":"Isolated","invert":false},
      {"type":"Digits","individual_digits":true},
      {"type":"Split","pattern":{"String":"ab"},"behavior":"MergedWithNext","invert":true},
      {"type":"ByteLevel","add_prefix_space":true,"use_regex":true}]},
    "decoder":{"type":"ByteLevel"},
    "added_tokens":[
      {"id":4,"content":"<m>","lstrip":true,"rstrip":true,"single_word":true,"special":true},
      {"id":5,"content":"é","normalized":true}],
    "model":{"type":"BPE","unk_token":"a","fuse_unk":true,"ignore_merges":true,
      "vocab":{"a":0,"b":1,"ab":2,"Ġ":3},"merges":[["a","b"]]}})json",
      ponder::ByteTokenizerJson(),
      "a b  ab aaaaaaa <|end|>\n\t\r\n 123 don't é 東京 \U0001F468\u200D\U0001F469 \xE2\x82 \xFF"};
}
