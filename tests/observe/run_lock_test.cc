#include "observe/run_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "tests/observe/store_records.h"

namespace ponder {
namespace {

TEST(RunLockTest, IsHeldByOneUntilItIsGone) {
  const std::string run = FreshDirectory();
  EXPECT_FALSE(RunLock::IsHeld(run));  // nor is there a file
  EXPECT_TRUE(std::filesystem::is_empty(run));
  {
    absl::StatusOr<RunLock> lock = RunLock::Take(run);
    ASSERT_TRUE(lock.ok()) << lock.status();
    EXPECT_TRUE(RunLock::IsHeld(run));
    EXPECT_EQ(RunLock::Take(run).status().code(), absl::StatusCode::kFailedPrecondition);
    const RunLock moved = *std::move(lock);
    EXPECT_TRUE(RunLock::IsHeld(run));
  }
  EXPECT_FALSE(RunLock::IsHeld(run));
  EXPECT_TRUE(RunLock::Take(run).ok());
  std::filesystem::remove_all(run);
}

TEST(RunLockTest, IsSeenAndGivenUpAcrossProcesses) {
  const std::string run = FreshDirectory();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = RunLock::Take(run);
    const char ok = lock.ok() ? 'y' : 'n';
    if (write(ready[1], &ok, 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char ok = 0;
  ASSERT_EQ(read(ready[0], &ok, 1), 1);
  EXPECT_EQ(ok, 'y');
  EXPECT_TRUE(RunLock::IsHeld(run));
  EXPECT_FALSE(RunLock::Take(run).ok());
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(RunLock::IsHeld(run));
  EXPECT_TRUE(RunLock::Take(run).ok());
  close(ready[0]);
  close(ready[1]);
  std::filesystem::remove_all(run);
}

}  // namespace
}  // namespace ponder
