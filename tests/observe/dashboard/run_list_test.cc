#include "observe/dashboard/run_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "observe/dashboard/change_cache.h"
#include "tests/observe/dashboard/served_runs.h"

namespace ponder {
namespace {

TEST(RunListTest, FindsWhatAppearsAndLosesWhatGoes) {
  ServedRuns runs;
  RunList list({runs.Folder()});
  EXPECT_EQ(list.Find("a").status().code(), absl::StatusCode::kNotFound);
  runs.AddRun("a");
  ASSERT_TRUE(list.Find("a").ok());
  EXPECT_EQ(list.Find("a")->path, std::filesystem::canonical(runs.PathOf("a")));
  std::filesystem::remove_all(runs.PathOf("a"));
  EXPECT_EQ(list.Find("a").status().code(), absl::StatusCode::kNotFound);
  runs.AddRun("a");
  EXPECT_TRUE(list.Find("a").ok());
}

TEST(ChangeCacheTest, ReadsAgainWhatHasChangedOrCouldNotBeRead) {
  ServedRuns runs;
  auto store = runs.AddRun("a");
  const ServedRun run{.id = "a", .name = "a", .path = runs.PathOf("a")};
  ChangeCache<int> cache;
  int reads = 0;
  const auto get = [&](bool works) {
    return cache.Get(run, [&]() -> absl::StatusOr<int> {
      ++reads;
      if (!works) return Unavailable("too many open files");
      return reads;
    });
  };
  EXPECT_FALSE(get(false).ok());
  EXPECT_EQ(*get(true), 2);
  EXPECT_EQ(*get(true), 2);
  ASSERT_TRUE(store->WriteEvent({1, "checkpoint", "m"}).ok());
  EXPECT_EQ(*get(true), 3);
}

}  // namespace
}  // namespace ponder
