#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>

#include "observe/background_store.h"
#include "observe/run_store.h"
#include "observe/sqlite.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using Mode = RunStore::Mode;

constexpr StepSizes kBigStep = {.groups = 4, .completions = 8, .tokens = 200};

class RunStoreDurabilityTest : public ::testing::Test {
 protected:
  RunStoreDurabilityTest() : directory_(FreshDirectory()), path_(directory_ + "/run.db") {}
  ~RunStoreDurabilityTest() override { std::filesystem::remove_all(directory_); }

  const std::string directory_, path_;
};

// The child: appends steps without end and reports each on `pipe` once it is written.
[[noreturn]] void WriteUntilKilled(const std::string& path, bool in_background, int pipe) {
  auto opened = RunStore::Open(path, Mode::kAppend);
  if (!opened.ok()) _exit(1);
  std::unique_ptr<RunStore> store = *std::move(opened);
  if (in_background) store = CreateBackgroundStore(std::move(store));
  for (int64_t step = *store->LastStep("train") + 1;; ++step) {
    if (!store->WriteStep(MakeStep("train", step, kBigStep)).ok()) _exit(2);
    if (!store->WriteState({.activity = "generating", .step = step}).ok()) _exit(2);
    if (!store->Flush().ok()) _exit(2);
    if (write(pipe, &step, sizeof(step)) != sizeof(step)) _exit(3);
  }
}

TEST_F(RunStoreDurabilityTest, HoldsExactlyWholeStepsAfterEachOfManyKills) {
  ASSERT_TRUE(RunStore::Open(path_, Mode::kCreate).ok());
  int64_t last = 0;
  for (int round = 0; round < 200; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) WriteUntilKilled(path_, round % 5 < 2, pipe_ends[1]);
    close(pipe_ends[1]);
    // Killed somewhere in the step after the first or second report, each round a little later.
    int64_t reported = last;
    for (int i = 0; i <= round % 2; ++i) {
      ASSERT_EQ(read(pipe_ends[0], &reported, sizeof(reported)), ssize_t{sizeof(reported)});
    }
    const auto moment =
        std::chrono::steady_clock::now() + std::chrono::microseconds(331) * (round % 25);
    while (std::chrono::steady_clock::now() < moment) {
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int how = 0;
    ASSERT_EQ(waitpid(child, &how, 0), child);
    EXPECT_TRUE(WIFSIGNALED(how)) << "the writer ended by itself with " << WEXITSTATUS(how);
    for (int64_t more = 0; read(pipe_ends[0], &more, sizeof(more)) == sizeof(more);) {
      reported = more;
    }
    close(pipe_ends[0]);

    auto store = RunStore::Open(path_, round % 3 == 0 ? Mode::kRead : Mode::kAppend);
    ASSERT_TRUE(store.ok()) << store.status();
    const int64_t found = *(*store)->LastStep("train");
    // A kill may fall between commit and report, never between report and commit.
    EXPECT_GE(found, reported);
    EXPECT_LE(found, reported + 1);
    for (int64_t step = last + 1; step <= found; ++step) {
      const auto completions = (*store)->ReadCompletions("train", step);
      ASSERT_TRUE(completions.ok()) << completions.status();
      ExpectHolds(*completions, MakeStep("train", step, kBigStep));
    }
    EXPECT_TRUE((*store)->ReadCompletions("train", found + 1)->empty());
    EXPECT_EQ((*store)->ReadMetrics("train")->size(), static_cast<size_t>(2 * found));
    last = found;
  }
  auto database = SqliteDatabase::Open(path_, SqliteDatabase::Access::kRead);
  ASSERT_TRUE(database.ok());
  auto check = (*database)->Prepare("PRAGMA integrity_check");
  ASSERT_TRUE(*check->Step());
  EXPECT_EQ(check->Text(0), "ok");
}

// Files of this process may not grow beyond a size for as long as it lives: a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_F(RunStoreDurabilityTest, SaysThatTheDiskIsFullAndGoesOnWhenItIsNotAnyMore) {
  auto opened = RunStore::Open(path_, Mode::kCreate);
  ASSERT_TRUE(opened.ok()) << opened.status();
  RunStore& store = **opened;
  ASSERT_TRUE(store.WriteStep(MakeStep("train", 1, kBigStep)).ok());
  {
    const FileSizeLimit full(std::filesystem::file_size(path_ + "-wal") + 20000);
    for (int attempt = 0; attempt < 3; ++attempt) {
      const absl::Status status = store.WriteStep(MakeStep("train", 2, kBigStep));
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("free some space"));
      EXPECT_EQ(*store.LastStep("train"), 1);
    }
    ExpectHolds(*store.ReadCompletions("train", 1), MakeStep("train", 1, kBigStep));
  }
  ASSERT_TRUE(store.WriteStep(MakeStep("train", 2, kBigStep)).ok());
  ExpectHolds(*store.ReadCompletions("train", 2), MakeStep("train", 2, kBigStep));
  opened->reset();
  auto again = RunStore::Open(path_, Mode::kRead);
  ExpectHolds(*(*again)->ReadCompletions("train", 1), MakeStep("train", 1, kBigStep));
  ExpectHolds(*(*again)->ReadCompletions("train", 2), MakeStep("train", 2, kBigStep));
}

TEST_F(RunStoreDurabilityTest, CannotBeMadeOnAFullDiskButLater) {
  {
    const FileSizeLimit full(1000);
    EXPECT_EQ(RunStore::Open(path_, Mode::kCreate).status().code(),
              absl::StatusCode::kResourceExhausted);
  }
  auto store = RunStore::Open(path_, Mode::kCreate);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->WriteStep(MakeStep("train", 1)).ok());
}

TEST(SqliteTest, SaysWhenAnotherProcessHoldsTheLock) {
  const std::string directory = FreshDirectory();
  const std::string path = directory + "/a.db";
  using Access = SqliteDatabase::Access;
  auto first = SqliteDatabase::Open(path, Access::kCreate, absl::Milliseconds(1));
  auto second = SqliteDatabase::Open(path, Access::kWrite, absl::Milliseconds(1));
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE((*first)->Execute("CREATE TABLE t (x); PRAGMA journal_mode = WAL").ok());
  {
    auto held = SqliteTransaction::Begin(**first, "BEGIN IMMEDIATE");
    ASSERT_TRUE(held.ok());
    const absl::Status status = SqliteTransaction::Begin(**second, "BEGIN IMMEDIATE").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("locked by another process"));
  }
  // The transaction that was not committed is gone, and the lock with it.
  EXPECT_TRUE((*second)->Execute("INSERT INTO t VALUES (1)").ok());
  std::filesystem::remove_all(directory);
}

TEST(SqliteTest, TreatsAStoreAtItsPageLimitAsAFullDisk) {
  const std::string directory = FreshDirectory();
  auto database = SqliteDatabase::Open(directory + "/a.db", SqliteDatabase::Access::kCreate);
  ASSERT_TRUE((*database)->Execute("PRAGMA max_page_count = 4; CREATE TABLE t (x)").ok());
  const absl::Status status = (*database)->Execute("INSERT INTO t VALUES (zeroblob(100000))");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace ponder
