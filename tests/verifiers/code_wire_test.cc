#include <gmock/gmock.h>

#include "verifiers/code/wire.h"

namespace ponder {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Fault(const std::string& bytes) {
  return std::string(CheckPlainValue(bytes).message());
}

// What marshal.dumps(value, 2) writes.
const std::string kOne = "i\1\0\0\0"s;
const std::string kText = "u\2\0\0\0ab"s;

TEST(PlainValue, TakesEachKind) {
  for (const std::string& bytes :
       {"N"s, "T"s, "F"s, kOne, kText, "s\1\0\0\0\xff"s, "g\0\0\0\0\0\0\xf0\x3f"s,
        "y"s + std::string(16, '\0'), "l\3\0\0\0\1\0\2\0\3\0"s, "l\xfd\xff\xff\xff\1\0\2\0\3\0"s,
        "("s + "\2\0\0\0"s + kOne + kText, "[\0\0\0\0"s, "<\1\0\0\0"s + kOne, ">\1\0\0\0"s + kText,
        "{"s + kText + "[\1\0\0\0N"s + kOne + "N0"s, "u\3\0\0\0\xed\xa0\x80"s}) {
    EXPECT_TRUE(CheckPlainValue(bytes).ok()) << testing::PrintToString(bytes) << Fault(bytes);
    // Cut short or with more behind it, it is none.
    for (size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_FALSE(CheckPlainValue(bytes.substr(0, length)).ok()) << testing::PrintToString(bytes);
    }
    EXPECT_THAT(Fault(bytes + "N"), HasSubstr("behind the value"));
  }
}

TEST(PlainValue, RefusesWhatIsNotPlain) {
  for (const char tag : "cS.RrtazZAI)0fx\x80\xe9"s) {
    EXPECT_FALSE(CheckPlainValue(tag + std::string(64, '\0')).ok()) << tag;
  }
  EXPECT_THAT(Fault("u\2\0\0\0\xc0\x80"s), HasSubstr("UTF-8"));
  EXPECT_THAT(Fault("u\4\0\0\0\xf4\x90\x80\x80"s), HasSubstr("UTF-8"));
  EXPECT_THAT(Fault("u\2\0\0\0\xe2\x82"s), HasSubstr("UTF-8"));
  EXPECT_THAT(Fault("l\1\0\0\0\0\0"s), HasSubstr("highest digit"));
  EXPECT_THAT(Fault("l\1\0\0\0\0\x80"s), HasSubstr("15 bits"));
  EXPECT_THAT(Fault("l\0\0\0\0"s), HasSubstr("cut short"));
  EXPECT_THAT(Fault("[\xff\xff\xff\xff"s), HasSubstr("cut short"));
  EXPECT_THAT(Fault("u\xff\xff\xff\x7f"s), HasSubstr("cut short"));
}

TEST(PlainValue, KeysAndMembersAreHashable) {
  EXPECT_THAT(Fault("<\1\0\0\0[\0\0\0\0"s), HasSubstr("hashable"));
  EXPECT_THAT(Fault("{(\1\0\0\0[\0\0\0\0N0"s), HasSubstr("hashable"));
  EXPECT_THAT(Fault(">\1\0\0\0{0"s), HasSubstr("hashable"));
  EXPECT_THAT(Fault("{<\0\0\0\0N0"s), HasSubstr("hashable"));
  EXPECT_EQ(Fault("{>\0\0\0\0[\0\0\0\0"
                  "0"s),
            "");
}

TEST(PlainValue, HasALimitedDepth) {
  std::string value = "N";
  for (int i = 0; i < kMaxDepth; ++i) value = "[\1\0\0\0"s + value;
  EXPECT_EQ(Fault(value), "");
  EXPECT_THAT(Fault("[\1\0\0\0"s + value), HasSubstr("deeper"));
  std::string deep;
  for (int i = 0; i < 1'000'000; ++i) deep += "[\1\0\0\0"s;
  EXPECT_THAT(Fault(deep), HasSubstr("deeper"));
}

const Nonce kNonce = {'n', 'o', 'n', 'c', 'e'};

std::string Frame(uint32_t number, AnswerKind kind, const std::string& payload) {
  return std::string(kNonce.data(), kNonce.size()) + LengthPrefix(number) +
         static_cast<char>(kind) + LengthPrefix(payload.size()) + payload;
}

TEST(AnswerReader, TakesAnswersHoweverTheyArrive) {
  const std::string stream = Frame(0, AnswerKind::kReady, "N") +
                             Frame(1, AnswerKind::kValue, kOne) +
                             Frame(2, AnswerKind::kMissing, kText);
  for (const size_t piece : {size_t{1}, size_t{7}, stream.size()}) {
    AnswerReader reader(kNonce, {});
    std::vector<uint32_t> numbers;
    for (size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(reader.Append(std::string_view(stream).substr(at, piece)).ok());
      for (;;) {
        const auto answer = reader.Next();
        ASSERT_TRUE(answer.ok()) << answer.status();
        if (!*answer) break;
        numbers.push_back((*answer)->number);
      }
    }
    EXPECT_THAT(numbers, ElementsAre(0, 1, 2));
  }
}

TEST(AnswerReader, RefusesForeignAndOversizedMessages) {
  AnswerReader foreign(kNonce, {});
  ASSERT_TRUE(foreign.Append(std::string(64, 'x')).ok());
  EXPECT_THAT(std::string(foreign.Next().status().message()), HasSubstr("nonce"));

  AnswerReader large(kNonce, {.answer_bytes = 4});
  ASSERT_TRUE(large.Append(Frame(1, AnswerKind::kValue, kOne)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(large.Next().status()));

  AnswerReader much(kNonce, {.total_bytes = 100});
  EXPECT_TRUE(much.Append(std::string(100, 'n')).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(much.Append("n")));
}

TEST(CheckAnswer, AsksForTheFormOfEachKind) {
  const auto ok = [](uint32_t number, AnswerKind kind, const std::string& payload) {
    return CheckAnswer({number, kind, payload}).ok();
  };
  const std::string texts = "(\3\0\0\0"s + kText + kText + kText;
  const std::string handle = "(\3\0\0\0"s + kOne + kText + kText;
  EXPECT_TRUE(ok(0, AnswerKind::kReady, "N"));
  EXPECT_FALSE(ok(1, AnswerKind::kReady, "N"));
  EXPECT_FALSE(ok(0, AnswerKind::kReady, "T"));
  EXPECT_TRUE(ok(0, AnswerKind::kSyntax, texts));
  EXPECT_FALSE(ok(1, AnswerKind::kSyntax, texts));
  EXPECT_TRUE(ok(3, AnswerKind::kRaised, texts));
  EXPECT_FALSE(ok(3, AnswerKind::kRaised, handle));
  EXPECT_FALSE(ok(3, AnswerKind::kRaised, texts + "N"));
  EXPECT_TRUE(ok(3, AnswerKind::kHandle, handle));
  EXPECT_FALSE(ok(3, AnswerKind::kHandle, texts));
  EXPECT_FALSE(ok(3, AnswerKind::kHandle, "(\3\0\0\0i\0\0\0\x80"s + kText + kText));
  EXPECT_TRUE(ok(1, AnswerKind::kValue, texts));
  EXPECT_FALSE(ok(0, AnswerKind::kValue, texts));
  EXPECT_FALSE(ok(1, AnswerKind::kValue, ""));
  EXPECT_TRUE(ok(1, AnswerKind::kValueAndArguments, "(\2\0\0\0N[\0\0\0\0"s));
  EXPECT_FALSE(ok(1, AnswerKind::kValueAndArguments, "(\2\0\0\0NN"s));
  EXPECT_FALSE(ok(1, AnswerKind::kValueAndArguments, "(\2\0\0\0N[\0\0\0\0N"s));
  EXPECT_TRUE(ok(1, AnswerKind::kMissing, kText));
  EXPECT_FALSE(ok(1, AnswerKind::kMissing, kOne));
  EXPECT_FALSE(ok(1, static_cast<AnswerKind>(0), "N"));
  EXPECT_FALSE(ok(1, static_cast<AnswerKind>(8), "N"));
  EXPECT_THAT(TextsOf(texts), ElementsAre("ab", "ab", "ab"));
}

TEST(Nonce, IsNewEachTime) { EXPECT_NE(MakeNonce().value(), MakeNonce().value()); }

}  // namespace
}  // namespace ponder
