#include "base/status.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/records.h"

namespace ponder {
namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return InvalidArgument("expected an even number, found {}", value);
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  PONDER_ASSIGN_OR_RETURN(const int half, Half(value));
  PONDER_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(StatusTest, AssignOrReturnPassesValuesAndErrors) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(std::string(Quarter(6).status().message()), "expected an even number, found 3");
}

TEST(StatusTest, AnnotateKeepsTheCode) {
  const absl::Status status = Annotate(NotFound("no {}", "x"), "reading y");
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(std::string(status.message()), "reading y: no x");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "z").ok());
}

TEST(CheckTest, AFailureNamesExpressionPlaceAndDetail) {
  try {
    PONDER_CHECK(1 == 2, fmt::format("rows = {}", 3));
    FAIL();
  } catch (const CheckFailure& failure) {
    const std::string what = failure.what();
    EXPECT_NE(what.find("1 == 2"), std::string::npos);
    EXPECT_NE(what.find("status_test.cc"), std::string::npos);
    EXPECT_NE(what.find("rows = 3"), std::string::npos);
  }
}

TEST(ClockTest, AFakeClockMovesOnlyWhenTold) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Now() - start, absl::Seconds(3));
}

TEST(RecordsTest, NamesOfStatusesAreThoseOfTheProtocol) {
  EXPECT_EQ(ToString(VerdictStatus::kNoAnswer), "NO_ANSWER");
  EXPECT_EQ(ToString(VerdictStatus::kInvalidGold), "INVALID_GOLD");
  EXPECT_EQ(ToString(FinishReason::kLength), "length");
}

}  // namespace
}  // namespace ponder
