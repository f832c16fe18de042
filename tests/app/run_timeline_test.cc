#include "app/run_timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using testing::ElementsAre;
using From = RunLeg::From;

// 3 updates of the cold start, 4 steps; step 2 changed nothing.
const RunTimeline kTimeline{.supervised = 3, .versions = {3, 4, 4, 5, 6}};

TEST(RunTimelineTest, PointsHaveTheirOrder) {
  EXPECT_EQ(kTimeline.Of({}), 0);
  EXPECT_EQ(kTimeline.Of({.phase = "sft", .step = 3}), 3);
  EXPECT_EQ(kTimeline.Of({.phase = "step", .step = 0}), 4);
  EXPECT_EQ(kTimeline.OfStep(4), 8);
  for (const RunPoint point : {1, 3, 4, 8}) EXPECT_EQ(kTimeline.Of(kTimeline.NameOf(point)), point);
}

TEST(RunTimelineTest, AVersionIsWhereItsWeightsStoodFirst) {
  EXPECT_EQ(kTimeline.OfVersion(3), 4);
  EXPECT_EQ(kTimeline.OfVersion(4), 5);
  EXPECT_EQ(kTimeline.OfVersion(5), 7);
  EXPECT_EQ(kTimeline.OfVersion(1), std::nullopt);  // of the cold start: nobody sampled from it
}

TEST(RunTimelineTest, ALegBeginsAtTheNewestCheckpointThatIsNotBehindWhatIsWanted) {
  EXPECT_THAT(PlanLegs(std::nullopt, {5, 6}, {2, 4, 7}),
              ElementsAre(RunLeg{From::kCheckpoint, 4, 6}));
  EXPECT_THAT(PlanLegs(std::nullopt, {1, 7}, {2, 4}),
              ElementsAre(RunLeg{From::kBase, 0, 1}, RunLeg{From::kCheckpoint, 4, 7}));
  EXPECT_THAT(PlanLegs(std::nullopt, {0, 5}, {}), ElementsAre(RunLeg{From::kBase, 0, 5}));
  EXPECT_THAT(PlanLegs(std::nullopt, {7}, {7}), ElementsAre(RunLeg{From::kCheckpoint, 7, 7}));
}

TEST(RunTimelineTest, ALegGoesOnWhereACheckpointWouldLeadNoFurther) {
  EXPECT_THAT(PlanLegs(5, {6, 7}, {2, 5}), ElementsAre(RunLeg{From::kHere, 5, 7}));
  EXPECT_THAT(PlanLegs(5, {6, 8}, {7}),
              ElementsAre(RunLeg{From::kHere, 5, 6}, RunLeg{From::kCheckpoint, 7, 8}));
}

TEST(RunTimelineTest, ALegSaysWhatIsLearnt) {
  EXPECT_EQ(Describe({From::kBase, 0, 0}, kTimeline), "the base model as it is");
  EXPECT_EQ(Describe({From::kBase, 0, 2}, kTimeline),
            "learning updates 1 to 2 of the cold start again from the base model");
  EXPECT_EQ(Describe({From::kCheckpoint, 2, 5}, kTimeline),
            "learning update 3 of the cold start and step 1 again from checkpoint sft-000002");
  EXPECT_EQ(Describe({From::kCheckpoint, 3, 4}, kTimeline), "checkpoint sft-000003 as it is");
  EXPECT_EQ(Describe({From::kCheckpoint, 5, 8}, kTimeline),
            "learning steps 2 to 4 again from checkpoint step-000001");
  EXPECT_EQ(Describe({From::kCheckpoint, 8, 8}, kTimeline), "checkpoint step-000004 as it is");
}

}  // namespace
}  // namespace ponder
