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

}  // namespace
}  // namespace ponder
