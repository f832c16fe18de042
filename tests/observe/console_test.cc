#include "observe/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "tests/observe/pseudo_terminal.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

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

class ConsoleTerminalTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
  }
  // What the terminal shows now.
  std::vector<std::string> Screen() {
    bytes_ += terminal_.Read();
    return ScreenAfter(bytes_);
  }

  PseudoTerminal terminal_{80};
  std::string bytes_;
};

TEST_F(ConsoleTerminalTest, KeepsTheBarBelowTheLinesAndRemovesItAtTheEnd) {
  auto console = CreateConsole(terminal_.Out(), "");
  console->Progress("generate", 10, 20);
  EXPECT_THAT(Screen(), ElementsAre("generate  ▇▇▇▇▇▇▇▇▇▇░░░░░░░░░░  10/20"));
  console->Progress("generate", 10, 20);
  EXPECT_EQ(terminal_.Read(), "");  // nothing new, nothing drawn
  console->Say("line");
  EXPECT_THAT(Screen(), ElementsAre("line", HasSubstr("10/20")));
  console->Warn("look");
  EXPECT_THAT(Screen(), ElementsAre("line", "warning: look", HasSubstr("10/20")));
  EXPECT_THAT(bytes_, HasSubstr("\033[33mwarning: look\033[0m\r\n"));
  console->Progress("generate", 20, 20);
  EXPECT_THAT(Screen(), ElementsAre("line", "warning: look", ""));
  console->Progress("odd", 0, 0);
  console->Progress("odd", -5, 3);
  EXPECT_THAT(Screen(), ElementsAre("line", "warning: look", HasSubstr("-5/3")));
  console.reset();
  EXPECT_THAT(Screen(), ElementsAre("line", "warning: look", ""));
}

TEST_F(ConsoleTerminalTest, DrawsTheWholeViewAgainInPlace) {
  auto console = CreateConsole(terminal_.Out(), "");
  console->SetRewards({0.1, 0.2});
  console->EndStep(3, 9, {{"reward/mean", 0.5}, {"time/generate_s", 14.2}, {"time/learn_s", 3.11}});
  console->ShowSample({.step = 3,
                       .question = "What is\n2 + 3?",
                       .text = "It is \033[2J five: \\boxed{5}",
                       .status = VerdictStatus::kCorrect,
                       .reward = 1.1});
  console->Progress("step 4/9  learn", 0, 1);
  const std::vector<std::string> view = {"reward  ▁▃█  0.10 to 0.50",
                                         "step    generate 14.2 s, learn 3.1 s",
                                         "sample  What is 2 + 3?",
                                         "        It is ?[2J five: \\boxed{5}",
                                         "        CORRECT, reward 1.10, step 3",
                                         "step 4/9  learn"};
  std::vector<std::string> expected = {"step 3/9  reward 0.50"};
  expected.insert(expected.end(), view.begin(), view.end());
  EXPECT_THAT(Screen(), ElementsAreArray(expected));
  console->Say("more");
  expected.insert(expected.begin() + 1, "more");
  EXPECT_THAT(Screen(), ElementsAreArray(expected));
  console.reset();
  EXPECT_THAT(Screen(), ElementsAre("step 3/9  reward 0.50", "more", ""));
}

TEST_F(ConsoleTerminalTest, ClipsTheViewToTheWidthOfTheTerminal) {
  terminal_.Resize(20, 24);
  auto console = CreateConsole(terminal_.Out(), "");
  console->Progress("generate", 10, 20);
  EXPECT_THAT(Screen(), ElementsAre("generate  ▇▇▇▇▇▇▇▇▇"));  // 19 columns
}

TEST_F(ConsoleTerminalTest, ErasesTheViewFromItsBeginWhateverAResizeHasMadeOfIt) {
  auto console = CreateConsole(terminal_.Out(), "");
  console->SetRewards({1, 2});
  console->Progress("generate", 1, 20);
  EXPECT_THAT(terminal_.Read(), EndsWith("\r\033[1A"));  // two lines, the cursor in the first
  terminal_.Resize(10, 24);
  console->Progress("generate", 2, 20);
  // No way up: how many rows the lines take now, only the terminal knows.
  EXPECT_THAT(terminal_.Read(), AllOf(StartsWith("\r\033[J\033[?7l"), EndsWith("\r\033[1A")));
}

TEST_F(ConsoleTerminalTest, LeavesASmallTerminalToTheLines) {
  terminal_.Resize(80, 6);
  auto console = CreateConsole(terminal_.Out(), "");
  console->SetRewards({1, 2});
  console->Progress("generate", 1, 20);
  EXPECT_THAT(Screen(), ElementsAre(StartsWith("generate")));
}

TEST_F(ConsoleTerminalTest, IsPlainWhereItIsToldToBeOrTheTerminalCannotMove) {
  CreateConsole(terminal_.Out(), "", ConsoleView::kPlain)->Progress("generate", 1, 20);
  EXPECT_EQ(terminal_.Read(), "");
  setenv("TERM", "dumb", 1);
  auto console = CreateConsole(terminal_.Out(), "");
  console->Progress("generate", 1, 20);
  console->Warn("look");
  EXPECT_EQ(terminal_.Read(), "warning: look\r\n");
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
  EXPECT_THAT(FormatStepLine(1, 2, {{"time/left_s", NAN}}), HasSubstr("left ?"));
}

}  // namespace
}  // namespace ponder
