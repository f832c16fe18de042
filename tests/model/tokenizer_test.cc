#include "model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/utf8.h"
#include "model/bpe.h"
#include "model/split_pattern.h"
#include "model/unicode_stand_ins.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// Golden values: tests/reference/tokenizer_golden.py wrote them with Hugging Face `tokenizers`.
Json Golden(const std::string& kind) {
  const absl::StatusOr<std::string> text =
      ReadFile(std::string(PONDER_TEST_DATA) + "/tiny_" + kind + ".json");
  EXPECT_TRUE(text.ok()) << text.status();
  return Json::parse(text.value_or("{}"));
}

std::unique_ptr<Tokenizer> Parse(const Json& json) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = ParseTokenizer(json.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

class TokenizerGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerGoldenTest, EncodesAndDecodesAsTokenizersDoes) {
  const Json golden = Golden(GetParam());
  const std::unique_ptr<Tokenizer> tokenizer = Parse(golden["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  for (const Json& line : golden["cases"]) {
    const auto ids = line["ids"].get<std::vector<int32_t>>();
    const auto text = line["text"].get<std::string>();
    EXPECT_EQ(tokenizer->Encode(text), ids) << text;
    EXPECT_EQ(tokenizer->Encode(text), ids) << "once more, from the cache: " << text;
    EXPECT_EQ(tokenizer->Decode(ids, false), line["decoded"].get<std::string>());
    const auto tail = std::span(ids).subspan(ids.empty() ? 0 : 1);
    EXPECT_EQ(tokenizer->Decode(tail), line["without_special"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerGoldenTest,
                         testing::Values("gpt2", "smollm2", "qwen2", "llama3", "odd"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TokenizerTest, KnowsItsTokens) {
  const std::unique_ptr<Tokenizer> tokenizer = Parse(Golden("qwen2")["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Size(), 333);
  EXPECT_EQ(tokenizer->Find("<think>"), 330);
  EXPECT_EQ(tokenizer->Find("<|im_start|>"), 331);
  EXPECT_EQ(tokenizer->Find("<nothing>"), std::nullopt);
  EXPECT_TRUE(tokenizer->IsSpecial(331));
  EXPECT_FALSE(tokenizer->IsSpecial(330));
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_FALSE(tokenizer->IsSpecial(333));
  EXPECT_EQ(tokenizer->TokenBytes(331), "<|im_start|>");
  EXPECT_EQ(tokenizer->TokenBytes(*tokenizer->Find("Ġ")), " ");
  EXPECT_EQ(tokenizer->TokenBytes(333), "");
  const std::vector<int32_t> nobody = {-1, 333, 1 << 30};
  EXPECT_EQ(tokenizer->Decode(nobody), "");
}

TEST(TokenizerTest, TokenBytesPutTogetherAreTheText) {
  const std::unique_ptr<Tokenizer> tokenizer = Parse(Golden("gpt2")["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  std::string every_character;
  for (char32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
    if (c < 0xD800 || c > 0xDFFF) AppendUtf8(c, &every_character);
  }
  std::string bytes;
  for (const int32_t id : tokenizer->Encode(every_character)) bytes += tokenizer->TokenBytes(id);
  EXPECT_EQ(bytes, every_character);
}

TEST(TokenizerTest, ReadsAndWritesIllFormedTextAsPythonDoes) {
  const std::unique_ptr<Tokenizer> tokenizer = Parse(Golden("gpt2")["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  struct Case {
    std::string bytes, text;  // bytes.decode("utf-8", errors="replace"), with ~ for U+FFFD
  };
  const std::vector<Case> cases = {{"\xE2\x82", "~"},
                                   {"\xE2\x82\xAC", "€"},
                                   {"\xF0\x9F\x98", "~"},
                                   {"a\xFF"
                                    "b",
                                    "a~b"},
                                   {"\xC0\xAF", "~~"},
                                   {"\xED\xA0\x80", "~~~"},
                                   {"\xF4\x90\x80\x80", "~~~~"},
                                   {"\xE0\x80\x80", "~~~"},
                                   {"\xF0\x9Fx\x98", "~x~"},
                                   {"\xE2(\xA1", "~(~"},
                                   {"\xC3\xC3\xA9", "~é"},
                                   {"\x80\x80", "~~"},
                                   {"\xF5\x80", "~~"},
                                   {"\xF1\x80\x80\xE2\x82\xC3", "~~~"}};
  for (const Case& c : cases) {
    std::string text;
    for (const char byte : c.text)
      text += byte == '~' ? std::string("\uFFFD") : std::string(1, byte);
    EXPECT_EQ(ToValidUtf8(c.bytes), text);
    EXPECT_EQ(tokenizer->Encode(c.bytes), tokenizer->Encode(text));
    std::vector<int32_t> ids;  // byte for byte
    for (const char byte : c.bytes) {
      for (int32_t id = 0; id < tokenizer->Size(); ++id) {
        if (tokenizer->TokenBytes(id) == std::string_view(&byte, 1)) ids.push_back(id);
      }
    }
    ASSERT_EQ(ids.size(), c.bytes.size());
    EXPECT_EQ(tokenizer->Decode(ids), text);
  }
}

TEST(TokenizerTest, AddedTokensTakeTheSpaceBesideThemAsTheirFlagsSay) {
  Json json = Golden("gpt2")["tokenizer"];
  const auto add = [&](const char* content, const char* flag) {
    const int64_t id = json["model"]["vocab"].size() + json["added_tokens"].size();
    json["added_tokens"].push_back({{"id", id}, {"content", content}, {flag, true}});
    return static_cast<int32_t>(id);
  };
  const int32_t left = add("<l>", "lstrip"), right = add("<r>", "rstrip"),
                word = add("<w>", "single_word");
  const std::unique_ptr<Tokenizer> tokenizer = Parse(json);
  ASSERT_NE(tokenizer, nullptr);
  const int32_t a = *tokenizer->Find("a"), b = *tokenizer->Find("b"), space = *tokenizer->Find("Ġ");
  EXPECT_THAT(tokenizer->Encode("a \t\u3000<l>b"), ElementsAre(a, left, b));
  EXPECT_THAT(tokenizer->Encode("a<l> <l>"), ElementsAre(a, left, left));
  EXPECT_THAT(tokenizer->Encode("a<r>\u2003 \n b<r>"), ElementsAre(a, right, b, right));
  EXPECT_THAT(tokenizer->Encode("a<r> <l>b"), ElementsAre(a, right, left, b));
  EXPECT_THAT(tokenizer->Encode("<w> <w>"), ElementsAre(word, space, word));
  for (const char* text : {"a<w>", "<w>b", "\u0301<w>", "<w>\U000116D0"}) {
    EXPECT_THAT(tokenizer->Encode(text), testing::Not(testing::Contains(word))) << text;
  }
}

TEST(TokenizerTest, ThreadsGetTheSameAnswers) {
  const Json golden = Golden("qwen2");
  const std::unique_ptr<Tokenizer> tokenizer = Parse(golden["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  std::vector<int64_t> wrong(8);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) {
        for (const Json& line : golden["cases"]) {
          // Words that nobody else has make the cache grow and start anew.
          const std::string own =
              line["text"].get<std::string>() + std::to_string(t * 1000 + round);
          const std::vector<int32_t> ids = tokenizer->Encode(line["text"].get<std::string>());
          if (ids != line["ids"].get<std::vector<int32_t>>()) ++wrong[t];
          if (tokenizer->Encode(own) != tokenizer->Encode(own)) ++wrong[t];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int64_t>(wrong.size()));
}

TEST(BpeTest, WorkIsLinearInTheLengthOfAWord) {
  BpeParams params;
  params.byte_ids.assign(256, -1);
  params.byte_ids['a'] = 0;
  for (int32_t i = 0; i < 8; ++i) params.merges.push_back({i, i, i + 1});  // a a, aa aa, ...
  const std::unique_ptr<Bpe> bpe = CreateBpe(params);
  for (const int64_t bytes : {1 << 10, 1 << 15, 1 << 20}) {
    std::vector<int32_t> ids;
    const int64_t looked_at = bpe->EncodeUncached(std::string(bytes, 'a'), &ids);
    EXPECT_EQ(ids, std::vector<int32_t>(bytes >> 8, 8));
    EXPECT_LE(looked_at, 3 * bytes);
  }
}

TEST(BpeTest, APairThatHasGrownSinceIsNotMerged) {
  BpeParams params;
  params.byte_ids.assign(256, -1);
  for (int32_t i = 0; i < 3; ++i) params.byte_ids['a' + i] = i;
  params.merges = {{1, 2, 3}, {0, 1, 4}, {0, 3, 5}};  // bc, ab, a bc
  std::vector<int32_t> ids;
  CreateBpe(params)->Encode("abcab", &ids);
  EXPECT_THAT(ids, ElementsAre(5, 4));
}

TEST(BpeTest, DropsFusesOrNamesBytesWithoutAToken) {
  BpeParams params;
  params.byte_ids.assign(256, -1);
  params.byte_ids['a'] = 0;
  const auto encode = [&](const char* word) {
    std::vector<int32_t> ids;
    CreateBpe(params)->Encode(word, &ids);
    return ids;
  };
  EXPECT_THAT(encode("axxa"), ElementsAre(0, 0));
  params.unknown = 7;
  EXPECT_THAT(encode("axxa"), ElementsAre(0, 7, 7, 0));
  params.fuse_unknown = true;
  EXPECT_THAT(encode("axxax"), ElementsAre(0, 7, 0, 7));
  EXPECT_THAT(encode(""), ElementsAre());
}

TEST(TokenizerTest, LongRunsComeBackWhole) {
  const std::unique_ptr<Tokenizer> tokenizer = Parse(Golden("qwen2")["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  for (const char* unit : {" ", "a", "\n", " \n", "é", "9", "!", "<|im_end|", "\u3000"}) {
    std::string text;
    while (text.size() < 300'000) text += unit;
    text += "x";
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)), text);
  }
}

TEST(SplitPatternTest, APatternThatBacktracksTooMuchIsGivenUp) {
  const absl::StatusOr<SplitPattern> pattern = SplitPattern::Compile(R"(\s*\s*\s*\s*\s*y)");
  ASSERT_TRUE(pattern.ok()) << pattern.status();
  const std::string text = "y y" + std::string(20'000, ' ') + "z";
  const std::vector<Stretch> stretches = pattern->Cut(text);
  ASSERT_EQ(stretches.size(), 3u);
  EXPECT_TRUE(stretches[1].is_match);
  EXPECT_FALSE(stretches[2].is_match);
  EXPECT_EQ(stretches[2].end, text.size());
}

TEST(SplitPatternTest, SaysInPcre2WhatThePatternMeansToOniguruma) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"(\s+(?!\S)|\w)",
       R"(\p{White_Space}+(?!\P{White_Space})|[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}])"},
      {R"([^\s\d]++(?i:'s)?)", R"([^\p{White_Space}\p{Nd}]++(?i:'s)?)"},
      {R"(\p{N}{1,3}+\v)", R"(\p{N}+\x0b)"},
      {R"(\p{Han}|\P{^Lu}(x))", R"(\p{sc:Han}|\P{^Lu}(?:x))"},
      {R"([a-z\]\x{1F600}\u00e9])", R"([a-z\]\x{1F600}\x{00e9}])"}};
  for (const auto& [pattern, expected] : cases) {
    const absl::StatusOr<std::string> translated = TranslatePattern(pattern);
    ASSERT_TRUE(translated.ok()) << translated.status();
    EXPECT_EQ(*translated, expected);
  }
}

TEST(SplitPatternTest, RefusesWhatTheTwoEnginesDisagreeOnAndWhatCouldRunForever) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"(a+)+", "a repeated group"},
      {"(?:a|b)*", "a repeated group"},
      {"(?:ab){2,3}", "a repeated group"},
      {R"((a)\1)", R"(the escape '\1')"},
      {R"(\bx)", R"(the escape '\b')"},
      {R"(\h)", R"(the escape '\h')"},
      {R"(a\Kb)", R"(the escape '\K')"},
      {"^a", "the anchor ^"},
      {"a$", "the anchor $"},
      {"(?<n>a)", "the group '(?<n'"},
      {"(?i)a", "the group '(?i)'"},
      {"[a[b]]", "a class inside a class"},
      {"[a&&b]", "an intersection"},
      {"[]a]", "begins with ']'"},
      {"a{,3}", "the repetition {,3}"},
      {"a{2}?", "a '?' behind '{n}'"},
      {"a**", "anything to repeat"},
      {"[a", "a character class that does not end"},
      {"(a", "a group that does not end"},
      {"a)", "a ')' without"},
      {R"([\W])", R"(\W in a class)"},
      {R"((?i:\p{Lu}))", "a property inside (?i:)"},
      {R"(\pL)", R"(\p without {})"},
      {R"(\xE9)", "a byte of a longer"},
      {R"(\p{Klingon})", "cannot be read"},
      {"a\\", "at its end"},
      {std::string(20'000, 'a'), "at most"}};
  for (const auto& [pattern, expected] : cases) {
    const absl::StatusOr<SplitPattern> compiled = SplitPattern::Compile(pattern);
    ASSERT_FALSE(compiled.ok()) << pattern;
    EXPECT_THAT(std::string(compiled.status().message()), HasSubstr(expected));
  }
}

TEST(UnicodeTest, NewCharactersAreLookedUpAsOlderOnesThatAreAlike) {
  EXPECT_EQ(StandIn(U'a'), U'a');
  EXPECT_EQ(StandIn(0x31350), 0x20000u);  // CJK extension H, Unicode 15
  EXPECT_EQ(StandIn(0x3134A), 0x3134Au);  // extension G, Unicode 13
  EXPECT_EQ(StandIn(0x10FFFF), 0x10FFFFu);
  EXPECT_EQ(WithStandIns("plain é 東"), std::nullopt);
  EXPECT_EQ(WithStandIns("a\U00031350b"), "a\U00020000b");
  EXPECT_TRUE(IsNumber(0x11DE0));  // a digit of Unicode 17
  EXPECT_TRUE(IsNumber(0x116D0));  // and one of Unicode 16
  EXPECT_FALSE(IsNumber(0x4E00));
  EXPECT_EQ(ToNfc("e\u0301 \u1112\u1161\u11ab"), "é 한");
  EXPECT_EQ(ToNfc("\U00011938\U00011930"), "\U00011938\U00011930");
}

TEST(TokenizerTest, MalformedFilesNameTheKeyAtFault) {
  const Json good = Golden("qwen2")["tokenizer"];
  struct Case {
    std::string pointer;
    Json value;
    std::string expected;
  };
  const Json split =
      R"({"type":"Split","pattern":{"Regex":"(a+)+"},"behavior":"Isolated","invert":false})"_json;
  const Json byte_level = R"({"type":"ByteLevel","add_prefix_space":false})"_json;
  const std::vector<Case> cases = {
      {"/model/type", "Unigram", "model.type: Unigram is not supported; expected BPE"},
      {"/model/byte_fallback", true, "model.byte_fallback: true is not supported"},
      {"/model/dropout", 0.1, "model.dropout is not supported"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix: \"</w>\" is not supported"},
      {"/model/unk_token", 3, "model.unk_token: expected a string, found an integer"},
      {"/model/vocab", Json::object(), "model.vocab is empty"},
      {"/model/vocab", 1, "model.vocab: expected an object, found an integer"},
      {"/model/vocab/a", "x", "model.vocab[\"a\"]: expected a token id, found a string"},
      {"/model/vocab/a", -1, "expected a token id below"},
      {"/model/vocab/a", 1e6, "expected a token id"},
      {"/model/vocab/a", 1'000'000, "far beyond the number of tokens"},
      {"/model/vocab/a", 0, "model.vocab: id 0 is given to"},
      {"/model/vocab/", 400, "an empty token"},
      {"/model/merges", nullptr, "merges is missing in model"},
      {"/model/merges/0", "a b c", "model.merges[0]: expected two tokens with one space"},
      {"/model/merges/1", Json::array({"a"}), "model.merges[1]: expected"},
      {"/model/merges/2", Json::array({"a", "nobody"}),
       "model.merges[2]: \"nobody\" is not in model.vocab"},
      {"/normalizer", {{"type", "Lowercase"}}, "normalizer.type: Lowercase is not supported"},
      {"/normalizer", Json::array(), "normalizer: expected an object, found an array"},
      {"/pre_tokenizer", nullptr, "pre_tokenizer is missing in the file"},
      {"/pre_tokenizer", {{"type", "Metaspace"}}, "pre_tokenizer.type: Metaspace is not supported"},
      {"/pre_tokenizer/pretokenizers/0", split,
       "pre_tokenizer: Split: the pattern (a+)+ has a repeated group"},
      {"/pre_tokenizer/pretokenizers/0/behavior", "Odd",
       "pre_tokenizer.pretokenizers[0].behavior: unknown behavior Odd"},
      {"/pre_tokenizer/pretokenizers/0", byte_level, "steps behind ByteLevel"},
      {"/pre_tokenizer/pretokenizers", Json::array(), "expected ByteLevel as its last step"},
      {"/decoder",
       {{"type", "WordPiece"}},
       "decoder.type: WordPiece is not supported; expected ByteLevel"},
      {"/added_tokens/0/id", 5, "the added token \"<think>\" should have id 5"},
      {"/added_tokens/0/content", 5, "added_tokens[0].content: expected a string"},
      {"/added_tokens/0/content", std::string(5000, 'x'), "added_tokens[0]: a token of 5000 bytes"},
  };
  for (const Case& c : cases) {
    Json bad = good;
    bad[Json::json_pointer(c.pointer)] = c.value;
    const auto tokenizer = ParseTokenizer(bad.dump());
    ASSERT_FALSE(tokenizer.ok()) << c.pointer;
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(c.expected));
  }
  for (const std::string& text : {std::string(), std::string("[]"), good.dump().substr(0, 3000),
                                  std::string("{\"a\":\xFF}"), std::string(100'000, '[')}) {
    EXPECT_FALSE(ParseTokenizer(text).ok()) << text.substr(0, 20);
  }
}

class TokenizerDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "ponder_tokenizer_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void Write(const std::string& name, const Json& json) {
    std::ofstream(directory_ + "/" + name) << json.dump();
  }

  std::string directory_;
};

TEST_F(TokenizerDirectoryTest, TheConfigurationAddsTokensAndRoles) {
  Write("tokenizer.json", Golden("qwen2")["tokenizer"]);
  Write("tokenizer_config.json", {{"added_tokens_decoder",
                                   {{"330", {{"content", "<think>"}, {"special", true}}},
                                    {"333", {{"content", "<new>"}, {"special", false}}}}},
                                  {"eos_token", "<|im_end|>"},
                                  {"pad_token", {{"content", "<pad>"}}},
                                  {"bos_token", nullptr}});
  const auto tokenizer = LoadTokenizer(directory_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->Encode("<think><new><pad>"), ElementsAre(330, 333, 334));
  EXPECT_TRUE((*tokenizer)->IsSpecial(330));
  EXPECT_FALSE((*tokenizer)->IsSpecial(333));
  EXPECT_TRUE((*tokenizer)->IsSpecial(334));
  EXPECT_EQ((*tokenizer)->Size(), 335);
}

TEST_F(TokenizerDirectoryTest, ErrorsNameTheFile) {
  EXPECT_EQ(LoadTokenizer(directory_).status().code(), absl::StatusCode::kNotFound);
  Write("tokenizer.json", Golden("qwen2")["tokenizer"]);
  Write("tokenizer_config.json", {{"added_tokens_decoder", {{"x", Json::object()}}}});
  EXPECT_THAT(
      std::string(LoadTokenizer(directory_).status().message()),
      HasSubstr("tokenizer_config.json: added_tokens_decoder.x: expected a token id as its key"));
  Write("tokenizer_config.json", {{"eos_token", 2}});
  EXPECT_FALSE(LoadTokenizer(directory_).ok());
  Write("tokenizer.json", {{"version", "1.0"}});
  EXPECT_THAT(std::string(LoadTokenizer(directory_).status().message()),
              HasSubstr("tokenizer.json: pre_tokenizer is missing"));
}

}  // namespace
}  // namespace ponder
