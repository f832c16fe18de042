#include "base/child_process.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/file.h"

namespace ponder {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);

ChildProcess Shell(const std::string& script) {
  absl::StatusOr<ChildProcess> child = ChildProcess::Start({"sh", "-c", script});
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

TEST(ChildProcessTest, GivesItsLinesOneByOne) {
  ChildProcess child = Shell("printf 'one\\ntwo\\nhalf'");
  EXPECT_EQ(*child.ReadLine(kLong), "one");
  EXPECT_EQ(*child.ReadLine(kLong), "two");
  EXPECT_TRUE(absl::IsUnavailable(child.ReadLine(kLong).status()));
}

TEST(ChildProcessTest, SaysSoWhereNoLineComesInTime) {
  ChildProcess child = Shell("read never");
  EXPECT_TRUE(absl::IsDeadlineExceeded(child.ReadLine(absl::Milliseconds(5)).status()));
}

TEST(ChildProcessTest, FeedsAndReadsAtOnceSoThatNeitherSideWaitsForEver) {
  // Far more than two pipes hold, to a program that writes all that it reads.
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += std::to_string(i) + "\n";
  ChildProcess child = Shell("exec cat");
  std::string_view input = text;
  for (int i = 0; i < 200'000; ++i) {
    const absl::StatusOr<std::string> line = child.Converse(input, absl::Now() + kLong);
    ASSERT_TRUE(line.ok()) << line.status();
    ASSERT_EQ(*line, std::to_string(i));
  }
  EXPECT_TRUE(input.empty());
}

TEST(ChildProcessTest, AChildThatDoesNotReadCostsAnErrorNotALife) {
  const std::string text(1 << 20, 'x');
  ChildProcess child = Shell("exec <&-; echo last words");
  std::string_view input = text;
  EXPECT_EQ(*child.Converse(input, absl::Now() + kLong), "last words");
  EXPECT_TRUE(absl::IsUnavailable(child.Converse(input, absl::Now() + kLong).status()));
}

TEST(ChildProcessTest, RefusesALineWithoutEnd) {
  ChildProcess child = Shell("exec cat /dev/zero");
  EXPECT_TRUE(absl::IsResourceExhausted(child.ReadLine(kLong).status()));
}

TEST(ChildProcessTest, KillsWhatTheChildStarted) {
  ChildProcess child = Shell("tail -f /dev/null & echo $!; wait");
  const pid_t grandchild = std::stoi(*child.ReadLine(kLong));
  ASSERT_EQ(kill(grandchild, 0), 0);
  child.Kill();
  EXPECT_FALSE(child.Running());
  // Its new parent reaps it; until then it is a zombie.
  const std::string path = "/proc/" + std::to_string(grandchild) + "/stat";
  for (const absl::Time give_up = absl::Now() + kLong; absl::Now() < give_up;) {
    const absl::StatusOr<std::string> stat = ReadFile(path, 4096);
    if (!stat.ok() || stat->find(") Z ") != std::string::npos) return;
  }
  FAIL() << "the grandchild lives on";
}

ChildProcess Watched(const std::string& script) {
  absl::StatusOr<ChildProcess> child =
      ChildProcess::Start({"sh", "-c", script}, ChildProcess::Errors::kWatched);
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

TEST(ChildProcessTest, KnowsHowAWatchedChildEndedAndWhatItSaidLast) {
  ChildProcess failed = Watched("echo first >&2; echo no memory >&2; echo >&2; exit 3");
  ASSERT_TRUE(failed.AwaitEnd(kLong));
  EXPECT_EQ(failed.LastWords("why"), "ended with exit status 3; its last line: no memory");
  ChildProcess killed = Watched("printf half >&2; kill -KILL $$");
  ASSERT_TRUE(killed.AwaitEnd(kLong));
  const ChildProcess moved = std::move(killed);
  EXPECT_EQ(moved.LastWords("why"), "ended by signal 9 (Killed); its last line: half");
  ChildProcess silent = Shell("exit 0");
  ASSERT_TRUE(silent.AwaitEnd(kLong));
  EXPECT_EQ(silent.LastWords("why"), "ended with exit status 0");
}

TEST(ChildProcessTest, AChildThatHadToBeKilledHasItsReasonAsLastWords) {
  ChildProcess child = Watched("echo busy >&2; echo; read never");
  EXPECT_TRUE(child.ReadLine(kLong).ok());
  EXPECT_FALSE(child.AwaitEnd(absl::ZeroDuration()));
  EXPECT_TRUE(child.Running());
  child.Kill();
  EXPECT_EQ(child.LastWords("it was too slow"), "it was too slow; its last line: busy");
}

TEST(ChildProcessTest, KeepsLittleOfALongLineAndReadsOnSoThatTheChildNeverWaits) {
  // More than a pipe holds.
  ChildProcess child = Watched("head -c 100000 /dev/zero | tr '\\0' x >&2; echo done");
  EXPECT_EQ(*child.ReadLine(kLong), "done");
  ASSERT_TRUE(child.AwaitEnd(kLong));
  const std::string words = child.LastWords("");
  EXPECT_TRUE(words.ends_with("xxx")) << words;
  EXPECT_LT(words.size(), 600u);
}

TEST(ChildProcessTest, DoesNotWaitForWhoeverHoldsTheErrorsOfAnEndedChild) {
  // In a group of its own, it outlives the child.
  ChildProcess child = Watched("setsid sh -c 'echo $$; exec tail -f /dev/null' & wait; exit 1");
  const pid_t left_behind = std::stoi(*child.ReadLine(kLong));
  child.Kill();
  EXPECT_EQ(child.LastWords("stopped"), "stopped");
  kill(left_behind, SIGKILL);
}

}  // namespace
}  // namespace ponder
