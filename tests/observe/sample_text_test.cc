#include "observe/sample_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/utf8.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ScoredGroup MakeGroup(const std::string& id, const std::vector<double>& rewards) {
  ScoredGroup scored;
  scored.group.task = {.id = id, .gold = "42"};
  scored.group.prompt = "what is it?";
  for (const double reward : rewards) {
    scored.group.completions.push_back(
        {.token_ids = {1, 2, 3}, .finish = FinishReason::kStop, .text = "it is 42"});
    scored.verdicts.push_back(
        {.status = VerdictStatus::kCorrect, .extracted = "42", .reason = "equal"});
    scored.rewards.push_back({.total = reward, .parts = {{"correct", reward}}});
    scored.advantages.push_back(0.5f);
  }
  return scored;
}

TEST(SampleTextTest, TakesTurnsOverGroupsWhoseCompletionsArePaidDifferently) {
  const std::vector<ScoredGroup> groups = {MakeGroup("a", {1, 1}), MakeGroup("b", {0, 1, 0}),
                                           MakeGroup("c", {1, 0})};
  const auto picked = [&](int64_t step) { return PickSamples(step, groups).group->group.task.id; };
  EXPECT_EQ(picked(0), "b");  // a has nothing to compare
  EXPECT_EQ(picked(1), "b");
  EXPECT_EQ(picked(2), "c");
  EXPECT_EQ(PickSamples(1, groups).best, 1u);
  EXPECT_EQ(PickSamples(2, groups).best, 0u);
  EXPECT_EQ(PickSamples(2, groups).worst, 1u);
  EXPECT_EQ(PickSamples(7, std::span(groups).first(1)).group, &groups[0]);
  EXPECT_EQ(PickSamples(7, {}).group, nullptr);
}

TEST(SampleTextTest, ShowsPromptVerdictAndReward) {
  const std::string text = SampleMarkdown(MakeGroup("t1", {1.1}), 0);
  for (const char* part :
       {"reward    1.1, correct 1.1", "advantage 0.5", "verdict   CORRECT: equal", "expected  42",
        "3 tokens, stop", "task      t1", "what is it?", "it is 42"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(SampleTextTest, LetsNoTextEndItsBlock) {
  ScoredGroup group = MakeGroup("t1", {0});
  group.group.completions[0].text = std::string("a\n") + std::string(9, '`') + "\n<script>\n" +
                                    std::string(400, '`') + "\x1b[2J\xff z";
  const std::string text = SampleMarkdown(group, 0);
  EXPECT_THAT(text, HasSubstr("a\n````````\n<script>\n````````[2J\uFFFD z\n`````````\n"));
  size_t fences = 0;
  for (size_t at = 0; (at = text.find("`````````", at)) != std::string::npos; at += 9) ++fences;
  EXPECT_EQ(fences, 6u) << text;
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(SampleTextTest, CutsLongTextsInTheirMiddleBetweenCharacters) {
  ScoredGroup group = MakeGroup("t1", {0});
  std::string& text = group.group.completions[0].text;
  text = "the begin ";
  for (int i = 0; i < 5000; ++i) text += "é";
  text += " the end";
  const std::string markdown = SampleMarkdown(group, 0);
  EXPECT_LT(markdown.size(), kMaxSampleBytes);
  EXPECT_THAT(markdown, HasSubstr("the begin"));
  EXPECT_THAT(markdown, HasSubstr("the end"));
  EXPECT_THAT(markdown, HasSubstr(" bytes ...]"));
  EXPECT_EQ(ToValidUtf8(markdown), markdown);
}

}  // namespace
}  // namespace ponder
