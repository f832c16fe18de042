#include "observe/dashboard/token_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace ponder {
namespace {

using ::testing::ElementsAre;

// Each piece a token.
std::vector<std::string> Texts(const std::vector<std::string>& pieces) {
  std::vector<int32_t> ids(pieces.size());
  std::iota(ids.begin(), ids.end(), 0);
  return TokenTexts(ids, pieces);
}

TEST(TokenTextsTest, PutsASplitCharacterAtItsLastToken) {
  EXPECT_THAT(Texts({"a", "\xf0\x9f", "\x99", "\x82", "b"}), ElementsAre("a", "", "", "🙂", "b"));
  EXPECT_THAT(Texts({"x\xc3", "\xa4y"}), ElementsAre("x", "äy"));
  EXPECT_THAT(Texts({"ä\xe2\x82", "\xac\xe2", "\x82\xac"}), ElementsAre("ä", "€", "€"));
}

TEST(TokenTextsTest, KeepsBytesThatAreNoCharacter) {
  EXPECT_THAT(Texts({"\xf0\x9f", "a"}), ElementsAre("",
                                                    "\xf0\x9f"
                                                    "a"));
  EXPECT_THAT(Texts({"\x80\x80\x80", "\xff", "b"}), ElementsAre("\x80\x80\x80", "\xff", "b"));
  EXPECT_THAT(Texts({"a", "\xe2\x82"}), ElementsAre("a", "\xe2\x82"));
}

TEST(TokenTextsTest, HasNothingForIdsBeyondTheVocabulary) {
  const std::vector<int32_t> ids = {0, 7, -1, 1};
  EXPECT_THAT(TokenTexts(ids, {"a", "b"}), ElementsAre("a", "", "", "b"));
  EXPECT_THAT(TokenTexts({}, {}), ElementsAre());
}

}  // namespace
}  // namespace ponder
