#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

namespace ponder {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/file_test_" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    ASSERT_TRUE(MakeDirectories(folder_ + "/a/b").ok());
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string folder_;
};

TEST_F(FileTest, WritesAndReadsBackAnyBytes) {
  const std::string content("a\0b\xff\n", 5);
  const std::string path = folder_ + "/f";
  ASSERT_TRUE(WriteFileAtomically(path, content).ok());
  EXPECT_EQ(*ReadFile(path), content);
  EXPECT_EQ(MappedFile::Open(path)->Bytes(), content);
}

TEST_F(FileTest, AWriteLeavesNothingElseBehind) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/f", "one").ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/f", "two").ok());
  EXPECT_EQ(*ReadFile(folder_ + "/f"), "two");
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) files += entry.is_regular_file();
  EXPECT_EQ(files, 1);
}

TEST_F(FileTest, AMissingFileIsNotFoundAndNamed) {
  const absl::Status status = ReadFile(folder_ + "/missing").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(std::string(status.message()).find("missing"), std::string::npos);
  EXPECT_TRUE(absl::IsNotFound(MappedFile::Open(folder_ + "/missing").status()));
}

TEST_F(FileTest, AFileOverTheLimitIsRefused) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/f", std::string(100, 'x')).ok());
  EXPECT_TRUE(ReadFile(folder_ + "/f", 100).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(folder_ + "/f", 99).status()));
}

TEST_F(FileTest, AnEmptyFileMapsToNothing) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/f", "").ok());
  EXPECT_TRUE(MappedFile::Open(folder_ + "/f")->Bytes().empty());
  EXPECT_FALSE(MappedFile::Open(folder_).ok());
}

TEST_F(FileTest, AFailedWriteKeepsTheOldFile) {
  const std::string path = folder_ + "/f";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  // A file size limit stands in for a full disk.
  struct rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &small);
  const absl::Status status = WriteFileAtomically(path, std::string(5000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(*ReadFile(path), "old");
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) files += entry.is_regular_file();
  EXPECT_EQ(files, 1);
}

TEST_F(FileTest, RenamesAFinishedFolderIntoPlace) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/a/b/f", "x").ok());
  ASSERT_TRUE(RenameDirectory(folder_ + "/a/b", folder_ + "/done").ok());
  EXPECT_EQ(*ReadFile(folder_ + "/done/f"), "x");
  EXPECT_FALSE(RenameDirectory(folder_ + "/nowhere", folder_ + "/done2").ok());
}

}  // namespace
}  // namespace ponder
