#include "app/evaluate.h"

#include <gtest/gtest.h>

namespace ponder {
namespace {

TEST(WilsonShareTest, MatchesValuesWorkedByHand) {
  // 10 of 20 at z = 1.95996: center 0.5, half width 1.95996 / 1.19208 * sqrt(0.0125 + 0.0024010) =
  // 0.200702.
  const Share half = WilsonShare(10, 20);
  EXPECT_DOUBLE_EQ(half.value, 0.5);
  EXPECT_NEAR(half.low, 0.299298, 1e-6);
  EXPECT_NEAR(half.high, 0.700702, 1e-6);
  // 0 of 200: high = z^2 / (n + z^2).
  const Share none = WilsonShare(0, 200);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 3.841459 / 203.841459, 1e-6);
  EXPECT_EQ(WilsonShare(0, 0).high, 1);
}

TEST(PassAtKTest, MatchesValuesWorkedByHand) {
  EXPECT_DOUBLE_EQ(PassAtK(4, 0, 2), 0);
  EXPECT_DOUBLE_EQ(PassAtK(4, 1, 1), 0.25);
  EXPECT_NEAR(PassAtK(4, 2, 2), 1 - 1.0 / 6, 1e-12);  // 1 - C(2,2) / C(4,2)
  EXPECT_DOUBLE_EQ(PassAtK(4, 3, 2), 1);
  EXPECT_NEAR(PassAtK(8, 2, 4), 1 - 15.0 / 70, 1e-12);  // 1 - C(6,4) / C(8,4)
}

Verdict Answer(const std::string& extracted, bool right) {
  return {.status = right ? VerdictStatus::kCorrect : VerdictStatus::kWrong,
          .extracted = extracted};
}

TEST(MajorityTest, TheMostFrequentAnswerDecides) {
  EXPECT_TRUE(MajorityIsRight({Answer("5", true), Answer("5.0", true), Answer("6", false)}, 3));
  EXPECT_FALSE(MajorityIsRight({Answer("5", true), Answer("6", false), Answer("6", false)}, 3));
  EXPECT_TRUE(
      MajorityIsRight({Answer("5", true), Answer("6", false)}, 2));  // the earliest of equals
  EXPECT_FALSE(MajorityIsRight({Answer("6", false), Answer("5", true)}, 2));
  EXPECT_FALSE(MajorityIsRight({{.status = VerdictStatus::kNoAnswer}}, 1));
  EXPECT_FALSE(MajorityIsRight({}, 4));
}

}  // namespace
}  // namespace ponder
