#include "app/run_directory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;

class RunDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/run_directory_" + std::to_string(getpid()) +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(path_);
  }
  void TearDown() override { fs::remove_all(path_); }
  std::string path_;
};

TEST_F(RunDirectoryTest, NamesOfCheckpointsReadBack) {
  const CheckpointName name{.phase = "step", .step = 100};
  EXPECT_EQ(name.ToString(), "step-000100");
  EXPECT_EQ(ParseCheckpointName("step-000100"), name);
  for (const char* bad : {"step", "step-", "step-1", "step-00010x", "step--00100", "other-000100",
                          "step-000100.tmp-7"}) {
    EXPECT_EQ(ParseCheckpointName(bad), std::nullopt) << bad;
  }
}

TEST_F(RunDirectoryTest, ARunIsMadeOnce) {
  ASSERT_TRUE(RunDirectory::Create(path_, "a = 1\n").ok());
  EXPECT_EQ(*ReadFile(path_ + "/config.toml"), "a = 1\n");
  EXPECT_TRUE(absl::IsAlreadyExists(RunDirectory::Create(path_, "").status()));
  EXPECT_TRUE(RunDirectory::Open(path_).ok());
  EXPECT_TRUE(absl::IsNotFound(RunDirectory::Open(path_ + "/none").status()));
}

TEST_F(RunDirectoryTest, TwoNeverWorkOnOneRun) {
  const absl::StatusOr<RunDirectory> first = RunDirectory::Create(path_, "");
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(RunDirectory::Open(path_).status()));
}

TEST_F(RunDirectoryTest, CheckpointsComeInOrderAndLeftoversGo) {
  const absl::StatusOr<RunDirectory> run = RunDirectory::Create(path_, "");
  ASSERT_TRUE(run.ok());
  for (const char* name :
       {"step-000010", "sft-000016", "step-000002", "step-000020.tmp-99", "notes"}) {
    ASSERT_TRUE(MakeDirectories(path_ + "/checkpoints/" + name).ok());
  }
  const std::vector<CheckpointName> expected = {{"sft", 16}, {"step", 2}, {"step", 10}};
  EXPECT_EQ(run->Checkpoints(), expected);
  EXPECT_FALSE(fs::exists(path_ + "/checkpoints/step-000020.tmp-99"));
  run->PruneCheckpoints(1);
  EXPECT_EQ(run->Checkpoints(), (std::vector<CheckpointName>{{"step", 10}}));
  EXPECT_TRUE(fs::exists(path_ + "/checkpoints/notes"));
}

}  // namespace
}  // namespace ponder
