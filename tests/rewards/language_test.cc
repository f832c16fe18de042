#include "rewards/language.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using ::testing::HasSubstr;

double Share(const std::string& language, const std::string& text) {
  return LanguageShare::Create(language)->Of(text);
}

TEST(LanguageShare, IsTheShareOfTheThoughtsWordsInTheScript) {
  EXPECT_EQ(Share("en", "first we add"), 1);
  EXPECT_EQ(Share("en", "first мы add слова"), 0.5);
  EXPECT_EQ(Share("ru", "first мы add слова"), 0.5);
  EXPECT_EQ(Share("ru", "first we add"), 0);
  EXPECT_EQ(Share("ko", "먼저 더하기 first"), 2.0 / 3);
  // Ideographs count one by one.
  EXPECT_EQ(Share("zh", "我们 add"), 2.0 / 3);
  EXPECT_EQ(Share("zh", "先add再乘"), 3.0 / 4);
  EXPECT_EQ(Share("ja", "まず足す first"), 4.0 / 5);
  EXPECT_EQ(Share("hi", "पहले जोड़ें now then"), 0.5);  // vowel signs do not split words
}

TEST(LanguageShare, LooksAtTheThoughtAlone) {
  EXPECT_EQ(Share("en", "<think>we add</think><answer>ответ готов</answer>"), 1);
  EXPECT_EQ(Share("ru", "<think>мы слова</think><answer>done now</answer>"), 1);
}

TEST(LanguageShare, FormulasVariablesTagsAndNumbersAreNoWords) {
  EXPECT_EQ(Share("ru", "\\frac{x}{y} + \\sin x = 12, a<b <think> слова"), 1);
  EXPECT_EQ(Share("en", "12 + 7 = 19"), 1);
  EXPECT_EQ(Share("en", ""), 1);
  EXPECT_EQ(Share("en", "π α"), 1);
}

TEST(LanguageShare, EnglishIsAsciiAndLatinIsAnyLatinScript) {
  EXPECT_EQ(Share("en", "don't don\u2019t"), 1);
  EXPECT_EQ(Share("en", "très naïve words here"), 0.5);
  EXPECT_EQ(Share("latin", "très naïve words здесь"), 0.75);
}

TEST(LanguageShare, BytesThatAreNoTextDoNoHarm) {
  EXPECT_EQ(Share("en", "we \xff\xc3 add"), 1);
  EXPECT_EQ(Share("en", std::string("\0\xe2\x82", 3)), 1);
}

TEST(LanguageShare, NamesTheKnownLanguages) {
  EXPECT_THAT(std::string(LanguageShare::Create("klingon").status().message()),
              HasSubstr("\"klingon\"; known are ar, el, en"));
}

}  // namespace
}  // namespace ponder
