#include "verifiers/loose_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(FindLooseAnswers, TakesShortTextsWhole) {
  EXPECT_THAT(FindLooseAnswers(" \\frac{1}{2} "), ElementsAre("\\frac{1}{2}", "2"));
  EXPECT_THAT(FindLooseAnswers("$28$ percent"), ElementsAre("$28$ percent", "28", "28"));
}

TEST(FindLooseAnswers, TakesTheLastEnvironmentOfASentence) {
  EXPECT_THAT(FindLooseAnswers("We find $y$ and then that $x < 3$."), ElementsAre("x < 3", "3"));
  EXPECT_THAT(FindLooseAnswers("We find that \\(y\\) is \\[x + 1\\] here"),
              ElementsAre("x + 1", "1"));
}

TEST(FindLooseAnswers, ANumberBehindTheEnvironmentComesFirst) {
  EXPECT_THAT(FindLooseAnswers("the largest value of $f(x)$ is then 19."),
              ElementsAre("19", "f(x)"));
}

TEST(FindLooseAnswers, MoneyIsNoEnvironment) {
  EXPECT_THAT(FindLooseAnswers("$1,000.99"), ElementsAre("$1,000.99", "1,000.99"));
  EXPECT_THAT(FindLooseAnswers("2,74 $ a.."), ElementsAre("2,74 $ a..", "2,74"));
}

TEST(FindLooseAnswers, AnOpenEnvironmentHidesWhatFollows) {
  EXPECT_THAT(FindLooseAnswers("Answer $ \n 9 \n $"), ElementsAre("Answer $ \n 9 \n $"));
}

TEST(FindLooseAnswers, BoldMarksAnAnswer) {
  EXPECT_THAT(FindLooseAnswers(std::string(400, 'a') + " so it is **73**."),
              ElementsAre("73", "73"));
}

TEST(FindLooseAnswers, FindsNothingInNothing) { EXPECT_THAT(FindLooseAnswers(" \n "), IsEmpty()); }

}  // namespace
}  // namespace ponder
