#include "app/sample_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

StoredCompletion Sample() {
  StoredCompletion stored{.rowid = 7, .step = 3, .phase = "train"};
  stored.task = {.id = "t1", .question = "2 + 3?", .gold = "5"};
  stored.prompt = "<user>2 + 3?";
  stored.completion.text = "It is \033[2Jfive 🙂";
  // 🙂 is F0 9F 99 82: two tokens make it up.
  stored.completion.token_ids = {0, 1, 2, 3};
  stored.completion.sampled_mask = {1, 1, 1, 1};
  stored.completion.logprobs = {-0.01f, -1.5f, -0.01f, -6.0f};
  stored.completion.entropies = {0.1f, 2.0f, 0.1f, 0.3f};
  stored.completion.versions = {{0, 4}, {2, 5}};
  stored.completion.finish = FinishReason::kStop;
  stored.verdict = {.status = VerdictStatus::kWrong,
                    .parts = {{"format", 1}},
                    .extracted = "five",
                    .reason = "not a number"};
  stored.reward = {.total = 0.1, .parts = {{"correct", 0}, {"format", 0.1}}};
  stored.advantage = -0.5f;
  return stored;
}
const std::vector<std::string> kVocabulary = {"It is", " \033[2Jfive ", "\xf0\x9f", "\x99\x82"};

TEST(SampleTextTest, SaysAllThatWasMadeOfACompletion) {
  EXPECT_EQ(SampleText(Sample(), {.columns = 60}),
            "sample 7, train step 3, task t1\n"
            "question   2 + 3?\n"
            "gold       5\n"
            "answer     It is ?[2Jfive 🙂\n"
            "verdict    WRONG, found five: not a number\n"
            "parts      format 1\n"
            "reward     0.1 = correct 0 + format 0.1; advantage -0.500\n"
            "tokens     4, ended by itself, policy versions 4 to 5,\n"
            "           temperature 1\n"
            "log-probs  mean -1.880, least -6.00 (token 3)\n"
            "entropy    mean 0.625, most 2.00 (token 1)\n");
}

TEST(SampleTextTest, ColoursTokensByProbabilityAndNothingElseCanSteer) {
  const SampleTextOptions options{.columns = 60, .colours = true, .vocabulary = &kVocabulary};
  const std::string text = SampleText(Sample(), options);
  EXPECT_THAT(text, HasSubstr("It is\033[38;5;208m ?[2Jfive \033[0m\033[1;38;5;197m🙂\033[0m\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033[2J")));
  EXPECT_THAT(ColourLegend(options), HasSubstr("above 0.9"));
  EXPECT_EQ(ColourLegend({.vocabulary = &kVocabulary}), "");
}

TEST(SampleTextTest, WrapsLinesWithTheirColours) {
  StoredCompletion stored = Sample();
  stored.completion.token_ids = {0, 1};
  const std::vector<std::string> vocabulary = {"one two ", "three\nfour"};
  const std::string text =
      SampleText(stored, {.columns = 20, .colours = true, .vocabulary = &vocabulary});
  const std::string margin = "\033[2m           \033[0m";
  EXPECT_THAT(text, HasSubstr("one two\n" + margin + "\033[38;5;208mthree\033[0m\n" + margin +
                              "\033[38;5;208mfour\033[0m\n"));
}

TEST(SampleTextTest, ShowsThePromptInPlaceOfTheQuestion) {
  EXPECT_THAT(SampleText(Sample(), {.prompt = true}),
              AllOf(HasSubstr("prompt     <user>2 + 3?"), Not(HasSubstr("question"))));
}

TEST(SampleTextTest, BearsOddRecords) {
  StoredCompletion stored = Sample();
  stored.completion.token_ids = {-1, 99};
  stored.completion.logprobs = {0.0f};
  stored.completion.sampled_mask = {};
  EXPECT_THAT(SampleText(stored, {.columns = 1, .colours = true, .vocabulary = &kVocabulary}),
              Not(HasSubstr("log-probs")));
}

}  // namespace
}  // namespace ponder
