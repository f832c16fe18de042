#include "observe/run_state_text.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ponder {
namespace {

TEST(RunStateTextTest, SaysWhatARunDoes) {
  RunState state{.activity = "generating",
                 .step = 41,
                 .steps = 200,
                 .done = 61,
                 .total = 128,
                 .workers = 3,
                 .left_s = 720};
  EXPECT_EQ(RunStateText("running", state, 40),
            "step 41 of 200, generating 61 of 128, 3 workers, 12 min left");
  state.workers = 1;
  state.left_s = NAN;
  state.total = 0;
  EXPECT_EQ(RunStateText("running", state, 40), "step 41 of 200, generating, 1 worker");
  EXPECT_EQ(RunStateText("running", {.activity = "starting", .steps = 200}, 0), "starting");
  EXPECT_EQ(RunStateText("running", {}, 0), "starting");
  EXPECT_EQ(RunStateText("running", {}, 4), "step 4");
}

TEST(RunStateTextTest, SaysHowFarARunCame) {
  EXPECT_EQ(RunStateText("finished", {.activity = "finished", .step = 60, .steps = 60}, 60),
            "finished after step 60 of 60");
  EXPECT_EQ(RunStateText("stopped", {.activity = "generating", .step = 8, .steps = 60}, 7),
            "stopped after step 7 of 60");
  EXPECT_EQ(RunStateText("stopped", {}, 0), "stopped before the first step");
  EXPECT_EQ(RunStateText("failed",
                         {.activity = "failed", .step = 3, .steps = 9, .detail = "disk full"}, 2),
            "failed after step 2 of 9: disk full");
}

}  // namespace
}  // namespace ponder
