#include "app/sample_draw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "tests/app/stored_run.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

TEST(DrawSamplesTest, SpreadsThemOverTheStepsAndDrawsNoneTwice) {
  const std::string run = FreshDirectory();
  WriteStoredRun(run, 4, 4);  // of 6 samples each
  const auto reader = *RunReader::Open(run + "/run.db");
  const std::vector<int64_t> drawn = *DrawSamples(*reader, "train", 10, 1);
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), 10u);
  std::map<int64_t, int> by_step;
  for (const int64_t sample : drawn) ++by_step[reader->ReadCompletion(sample)->step];
  ASSERT_EQ(by_step.size(), 4u);
  for (const auto& [step, count] : by_step) EXPECT_THAT(count, testing::AnyOf(2, 3)) << step;

  EXPECT_EQ(*DrawSamples(*reader, "train", 10, 1), drawn);
  EXPECT_NE(*DrawSamples(*reader, "train", 10, 2), drawn);
  EXPECT_EQ(DrawSamples(*reader, "train", 1000, 1)->size(), 24u);
  EXPECT_TRUE(absl::IsNotFound(DrawSamples(*reader, "eval/untrained", 1, 1).status()));
  EXPECT_TRUE(absl::IsNotFound(DrawSamples(*reader, "eval/train", 1, 1).status()));  // no groups
  std::filesystem::remove_all(run);
}

}  // namespace
}  // namespace ponder
