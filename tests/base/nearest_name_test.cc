#include "base/nearest_name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ponder {
namespace {

TEST(NearestNameTest, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);  // the textbook's example
  EXPECT_EQ(EditDistance("temprature", "temperature"), 1);
  EXPECT_EQ(EditDistance("stesp", "steps"), 1);
  EXPECT_EQ(EditDistance("ca", "abc"), 3);  // optimal string alignment, not full Damerau (2)
  EXPECT_EQ(EditDistance("Seed", "seed"), 0);
}

TEST(NearestNameTest, TakesTheFirstOfEqualsAndNothingFromNothing) {
  const std::vector<std::string> known = {"top_p", "top_k", "seed"};
  EXPECT_EQ(NearestName("top_x", known), "top_p");
  EXPECT_EQ(NearestName("sead", known), "seed");
  EXPECT_EQ(NearestName("seed", {}), "");
}

TEST(NearestNameTest, IsNearWhereAThirdIsMistypedAtMost) {
  EXPECT_TRUE(IsNear("trian", "train"));
  EXPECT_TRUE(IsNear("--sed", "--set"));
  EXPECT_FALSE(IsNear("frobnicate", "generate"));
  EXPECT_FALSE(IsNear("ab", "xy"));
}

TEST(NearestNameTest, LooksOnlyAtTheBeginningOfAVeryLongName) {
  EXPECT_EQ(EditDistance(std::string(1 << 20, 'a'), "aaaa"), 124);
}

}  // namespace
}  // namespace ponder
