#include "observe/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class ConsoleTest : public ::testing::Test {
 protected:
  ConsoleTest() : directory_(FreshDirectory()), out_path_(directory_ + "/out") {}
  ~ConsoleTest() override { std::filesystem::remove_all(directory_); }

  const std::string directory_, out_path_;
};

TEST_F(ConsoleTest, WritesPlainLinesWhereItIsNoTerminal) {
  std::FILE* const out = std::fopen(out_path_.c_str(), "w");
  {
    auto console = CreateConsole(out, directory_ + "/log.txt");
    console->Say("one");
    console->Progress("step 1/2  generate", 3, 10);
    console->Warn("two");
    console->Progress("step 1/2  generate", 10, 10);
    console->Say("escape \033[2J\x07 and 🙂");
    EXPECT_EQ(*ReadFile(out_path_), "one\nwarning: two\nescape ?[2J? and 🙂\n");
  }
  std::fclose(out);
  const std::string log = *ReadFile(directory_ + "/log.txt");
  EXPECT_THAT(log,
              MatchesRegex("....-..-..T..:..:..Z one\n....-..-..T..:..:..Z warning: two\n.*\n"));
}

TEST_F(ConsoleTest, AppendsToTheLog) {
  std::FILE* const out = std::fopen(out_path_.c_str(), "w");
  for (int i = 0; i < 2; ++i) CreateConsole(out, directory_ + "/log.txt")->Say("line");
  std::fclose(out);
  const std::string log = *ReadFile(directory_ + "/log.txt");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2);
}

TEST_F(ConsoleTest, WarnsOfALogThatCannotBeWritten) {
  std::FILE* const out = std::fopen(out_path_.c_str(), "w");
  CreateConsole(out, directory_ + "/missing/log.txt")->Say("goes on");
  std::fclose(out);
  EXPECT_THAT(*ReadFile(out_path_), HasSubstr("warning: cannot write the log"));
  EXPECT_THAT(*ReadFile(out_path_), HasSubstr("goes on\n"));
}

TEST_F(ConsoleTest, KeepsLinesOfManyThreadsWhole) {
  std::FILE* const out = std::fopen(out_path_.c_str(), "w");
  {
    auto console = CreateConsole(out, "");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&console, t] {
        for (int i = 0; i < 200; ++i) console->Say(std::string(50, static_cast<char>('a' + t)));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::fclose(out);
  std::string expected_size = *ReadFile(out_path_);
  ASSERT_EQ(expected_size.size(), 4u * 200 * 51);
  for (size_t i = 0; i < expected_size.size(); i += 51) {
    EXPECT_EQ(expected_size.substr(i, 51), std::string(50, expected_size[i]) + "\n");
  }
}

// Both ends of a pseudo-terminal of `columns` columns.
struct Terminal {
  explicit Terminal(unsigned short columns) : master(posix_openpt(O_RDWR | O_NOCTTY)) {
    EXPECT_EQ(grantpt(master), 0);
    EXPECT_EQ(unlockpt(master), 0);
    slave = std::fopen(ptsname(master), "w");
    winsize size{.ws_row = 24, .ws_col = columns};
    EXPECT_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
  }
  ~Terminal() {
    std::fclose(slave);
    close(master);
  }
  // What was written since the last call; it is there already, for writes to a terminal are at
  // once.
  std::string Read() {
    std::string text(65536, '\0');
    fcntl(master, F_SETFL, O_NONBLOCK);
    const ssize_t size = read(master, text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return text;
  }

  const int master;
  std::FILE* slave;
};

TEST(ConsoleTerminalTest, DrawsABarRemovesItForLinesAndAtTheEnd) {
  Terminal terminal(80);
  auto console = CreateConsole(terminal.slave, "");
  console->Progress("generate", 10, 20);
  EXPECT_EQ(terminal.Read(), "\r\033[Kgenerate  ▇▇▇▇▇▇▇▇▇▇░░░░░░░░░░  10/20");
  console->Progress("generate", 10, 20);
  EXPECT_EQ(terminal.Read(), "");  // nothing new, nothing drawn
  console->Say("line");
  EXPECT_EQ(terminal.Read(), "\r\033[Kline\r\n");
  console->Warn("look");
  EXPECT_EQ(terminal.Read(), "\033[33mwarning: look\033[0m\r\n");
  console->Progress("generate", 11, 20);
  EXPECT_THAT(terminal.Read(), HasSubstr("11/20"));
  console->Progress("generate", 20, 20);
  EXPECT_EQ(terminal.Read(), "\r\033[K");
  console->Progress("odd", 0, 0);
  console->Progress("odd", -5, 3);
  EXPECT_THAT(terminal.Read(), HasSubstr("-5/3"));
}

TEST(ConsoleTerminalTest, ClipsTheBarToTheWidthOfTheTerminal) {
  Terminal terminal(20);
  auto console = CreateConsole(terminal.slave, "");
  console->Progress("generate", 10, 20);
  EXPECT_EQ(terminal.Read(), "\r\033[Kgenerate  ▇▇▇▇▇▇▇▇▇");  // 19 columns
}

TEST(StepLineTest, SaysWhatAStepWasLike) {
  EXPECT_EQ(
      FormatStepLine(12, 60,
                     {{"reward/mean", 0.53},
                      {"reward/correct", 0.45},
                      {"reward/format", 0.08},
                      {"length/mean", 41.3},
                      {"groups/useful", 0.75},
                      {"groups/all_right", 0.15},
                      {"groups/all_wrong", 0.1},
                      {"policy/entropy", 0.312},
                      {"optimizer/gradient_norm", 0.8},
                      {"speed/generate_tokens_per_s", 310},
                      {"speed/learn_tokens_per_s", 500.4},
                      {"exactness/logprob_max_abs_diff", 0},
                      {"dropped/total", 0},
                      {"optimizer/skipped_updates", 0},
                      {"time/left_s", 840}}),
      "step 12/60  reward 0.53 (correct 0.45, format 0.08)  length 41  useful 75 % (all right "
      "15 %, all wrong 10 %)  entropy 0.31  grad 0.8  gen 310 tok/s  learn 500 tok/s  left 14 "
      "min");
}

TEST(StepLineTest, LeavesOutWhatIsMissing) {
  EXPECT_EQ(FormatStepLine(1, 2, {}), "step 1/2");
  EXPECT_EQ(FormatStepLine(1, 2, {{"reward/mean", 1}, {"reward/format", 0.1}, {"other", 3}}),
            "step 1/2  reward 1.00 (format 0.10)");
  EXPECT_EQ(FormatStepLine(1, 2,
                           {{"reward/mean", 1},
                            {"reward/std", 2},
                            {"reward/brevity", 0.1},
                            {"reward/correct", 0.7},
                            {"reward/language", 0.2}}),
            "step 1/2  reward 1.00 (correct 0.70, brevity 0.10, language 0.20)");
}

TEST(StepLineTest, NamesWhatShouldHaveBeenZero) {
  EXPECT_EQ(FormatStepLine(1, 2,
                           {{"exactness/logprob_max_abs_diff", 1.5e-6},
                            {"dropped/total", 3},
                            {"optimizer/skipped_updates", 1}}),
            "step 1/2  NOT EXACT 1.5e-06  dropped 3  skipped updates 1");
  EXPECT_THAT(FormatStepLine(1, 2, {{"exactness/logprob_max_abs_diff", NAN}}),
              HasSubstr("NOT EXACT nan"));
}

TEST(StepLineTest, TellsTimeInFittingUnits) {
  EXPECT_THAT(FormatStepLine(1, 2, {{"time/left_s", 59.6}}), HasSubstr("left 60 s"));
  EXPECT_THAT(FormatStepLine(1, 2, {{"time/left_s", 90}}), HasSubstr("left 2 min"));
  EXPECT_THAT(FormatStepLine(1, 2, {{"time/left_s", 7500}}), HasSubstr("left 2 h 5 min"));
  EXPECT_THAT(FormatStepLine(1, 2, {{"time/left_s", NAN}}), HasSubstr("left"));
}

}  // namespace
}  // namespace ponder
