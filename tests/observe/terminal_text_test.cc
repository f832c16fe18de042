#include "observe/terminal_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/observe/pseudo_terminal.h"

namespace ponder {
namespace {

using testing::ElementsAre;

TEST(WithoutControlsTest, LeavesNothingThatSteersATerminal) {
  EXPECT_EQ(WithoutControls("a\033[2Jb\x07\x7f\r"), "a?[2Jb???");
  EXPECT_EQ(WithoutControls("\xc2\x9b"
                            "2J"),
            "?2J");  // CSI as one character
  EXPECT_EQ(WithoutControls("\x9b"
                            "2J \xff \xe2\x82"),
            "?2J ? ?");  // bytes that are not UTF-8
  EXPECT_EQ(WithoutControls("\xe2\x80\xae"
                            "evil"),
            "?evil");  // right-to-left override
  EXPECT_EQ(WithoutControls(std::string_view("\0", 1)), "?");
  EXPECT_EQ(WithoutControls("line\n\tÄ 数 🙂"), "line\n\tÄ 数 🙂");
}

TEST(OneLineTest, JoinsLinesWithSingleSpaces) {
  EXPECT_EQ(OneLine("  a \n\n b\tc\n"), "a b c");
  EXPECT_EQ(OneLine("a\033\nb"), "a? b");
}

TEST(TextColumnsTest, KnowsWideAndCombiningCharacters) {
  EXPECT_EQ(TextColumns("abc"), 3);
  EXPECT_EQ(TextColumns("数学"), 4);
  EXPECT_EQ(TextColumns("e\xcc\x81"), 1);  // e and a combining accent
  EXPECT_EQ(TextColumns("🙂"), 2);
  EXPECT_EQ(FirstColumns("数学", 3), "数");
}

TEST(ShortenTest, CutsBetweenCharactersAndSaysSo) {
  EXPECT_EQ(Shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(Shorten("abcdef", 5), "abcd…");
  EXPECT_EQ(Shorten("数学数学", 6), "数学…");
  EXPECT_EQ(ShortenFront("abcdef", 5), "…cdef");
  EXPECT_EQ(ShortenFront("数学数学", 6), "…数学");
  EXPECT_EQ(Shorten("abc", 0), "");
}

TEST(WrapLinesTest, BreaksAtSpacesElseAnywhere) {
  EXPECT_THAT(WrapLines("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(WrapLines("onetwothree x", 4), ElementsAre("onet", "woth", "ree", "x"));
  EXPECT_THAT(WrapLines("a\n\nb", 4), ElementsAre("a", "", "b"));
  EXPECT_THAT(WrapLines("数学", 1), ElementsAre("数", "学"));
  EXPECT_THAT(WrapLines("", 4), ElementsAre(""));
}

TEST(SparklineTest, DrawsFromTheLeastToTheGreatest) {
  const std::vector<double> ramp = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(Sparkline(ramp, 20), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(Sparkline(ramp, 4), "▁▃▆█");
  EXPECT_EQ(Sparkline(std::vector<double>{5, 5}, 4), "▁▁");
  EXPECT_EQ(Sparkline(std::vector<double>{0, NAN, 1}, 4), "▁ █");
  EXPECT_EQ(Sparkline({}, 4), "");
  EXPECT_EQ(Sparkline(ramp, 0), "");
}

TEST(HumanSizesTest, TakeFittingUnits) {
  EXPECT_EQ(HumanBytes(512), "512 B");
  EXPECT_EQ(HumanBytes(3 << 20), "3.0 MiB");
  EXPECT_EQ(HumanDuration(45.4), "45 s");
  EXPECT_EQ(HumanDuration(719), "12 min");
  EXPECT_EQ(HumanDuration(12000), "3 h 20 min");
  EXPECT_EQ(HumanDuration(190800), "2 d 5 h");
  EXPECT_EQ(HumanDuration(-1), "0 s");
  EXPECT_EQ(HumanDuration(NAN), "?");
  EXPECT_EQ(HumanDuration(INFINITY), "?");
}

TEST(TerminalTest, HonoursTermAndNoColor) {
  PseudoTerminal terminal(91);
  setenv("TERM", "xterm", 1);
  unsetenv("NO_COLOR");
  EXPECT_EQ(SizeOfTerminal(terminal.Out()).columns, 91);
  EXPECT_TRUE(IsLiveTerminal(terminal.Out()));
  EXPECT_TRUE(WantsColour(terminal.Out()));
  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(WantsColour(terminal.Out()));
  unsetenv("NO_COLOR");
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(IsLiveTerminal(terminal.Out()));
  EXPECT_FALSE(WantsColour(terminal.Out()));
}

}  // namespace
}  // namespace ponder
