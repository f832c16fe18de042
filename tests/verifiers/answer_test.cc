#include "verifiers/answer.h"

#include <gmock/gmock.h>

#include "verifiers/loose_answer.h"

namespace ponder {
namespace {

struct Case {
  std::string completion;
  AnswerForm form;
  std::string text;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& item : cases) {
    const MarkedAnswer answer = FindMarkedAnswer(item.completion);
    EXPECT_EQ(answer.form, item.form) << item.completion;
    EXPECT_EQ(answer.text, item.text) << item.completion;
    EXPECT_EQ(answer.problem, "") << item.completion;
  }
}

TEST(FindMarkedAnswer, FindsTheLastBox) {
  Check({{"So \\boxed{5}.", AnswerForm::kBox, "5"},
         {"\\boxed{5}, no, wait: \\boxed{ 7 }", AnswerForm::kBox, "7"},
         {"\\fbox{2.5}", AnswerForm::kBox, "2.5"},
         {"\\boxed{1} then \\fbox{2}", AnswerForm::kBox, "2"},
         {"\\boxed{\\frac{1}{2}} is it", AnswerForm::kBox, "\\frac{1}{2}"},
         {"\\boxed{a\\}b}", AnswerForm::kBox, "a\\}b"},
         {"\\boxed{\\boxed{5}}", AnswerForm::kBox, "5"},
         {"$\\boxed 5$", AnswerForm::kBox, "5"},
         {"\\boxed {5}", AnswerForm::kBox, "5"},
         {"\\boxed{5} and \\boxedup{7}", AnswerForm::kBox, "5"},
         {"\\boxed{5}. The final answer is 7.", AnswerForm::kBox, "5"},
         {"\\boxed{}", AnswerForm::kBox, ""},
         {"\\boxed{5}\n\n\\boxed{5}", AnswerForm::kBox, "5"}});
}

TEST(FindMarkedAnswer, FindsTagsHashesAndPhrases) {
  Check({{"<answer> 12 </answer>", AnswerForm::kAnswerTag, "12"},
         {"<answer>1</answer> <answer>2</answer>", AnswerForm::kAnswerTag, "2"},
         {"<answer>It is \\boxed{12}.</answer>", AnswerForm::kAnswerTag, "12"},
         {"<answer>The answer is 12.</answer>", AnswerForm::kAnswerTag, "12."},
         {"<answer>12</answer> so \\boxed{13}", AnswerForm::kBox, "13"},
         {"\\boxed{13} so <answer>12</answer>", AnswerForm::kAnswerTag, "12"},
         {"text\n#### 72", AnswerForm::kHashes, "72"},
         {"#### -72 \nmore", AnswerForm::kHashes, "-72"},
         {"\\boxed{5}\n#### 72", AnswerForm::kHashes, "72"},
         {"#### 72\n\\boxed{5}", AnswerForm::kBox, "5"},
         {"#### Step 3: add\nThe answer is 5.", AnswerForm::kPhrase, "5."},
         {"#### 72\n#### Check", AnswerForm::kHashes, "72"},
         {"The final answer is 72.", AnswerForm::kPhrase, "72."},
         {"**Final Answer:** 72", AnswerForm::kPhrase, "72"},
         {"**Final Answer**\n72", AnswerForm::kNone, ""},
         {"ANSWER: 72 apples. Done.", AnswerForm::kPhrase, "72 apples"},
         {"Answer:\n\n72\n", AnswerForm::kPhrase, "72"},
         {"The answer is: $72$. I hope it is correct.", AnswerForm::kPhrase, "$72$"},
         {"The answer is 5. No, the answer is 7.", AnswerForm::kPhrase, "7."},
         {"the answer is 12.5 dollars", AnswerForm::kPhrase, "12.5 dollars"},
         {"the answer isn't known", AnswerForm::kNone, ""},
         {"it is 72", AnswerForm::kNone, ""},
         {"", AnswerForm::kNone, ""}});
}

TEST(FindMarkedAnswer, OnlyTheAnchorsAskedForCount) {
  const std::string text =
      "the answer is 1\n#### 2\nso \\boxed{3}\n<answer>the \\boxed{4}</answer> and \\boxed{5}";
  const auto find = [&](std::string_view anchors) {
    return FindMarkedAnswer(text, JoinBoxes::kByConnectives, *ParseAnswerAnchors(anchors)).text;
  };
  EXPECT_EQ(find("box,tag,hashes,phrase"), "5");
  EXPECT_EQ(find("box"), "5");
  EXPECT_EQ(find("tag"), "4");  // a box inside is the tag's content all the same
  EXPECT_EQ(find(" hashes , phrase"), "2");
  EXPECT_EQ(find("phrase"), "1");
  EXPECT_EQ(
      FindMarkedAnswer("so 7 <answer>8</answer>", JoinBoxes::kByConnectives, {.tag = false}).form,
      AnswerForm::kNone);
  for (const std::string_view wrong : {"", "box,", "boxes", "box;tag"}) {
    EXPECT_FALSE(ParseAnswerAnchors(wrong).ok()) << wrong;
  }
}

TEST(FindMarkedAnswer, ThoughtsDoNotCount) {
  Check({{"<think>maybe \\boxed{5}</think> So \\boxed{7}.", AnswerForm::kBox, "7"},
         {"maybe \\boxed{5}</think>nothing", AnswerForm::kNone, ""},
         {"maybe <answer>5</answer></think><answer>7</answer>", AnswerForm::kAnswerTag, "7"},
         {"<think>maybe \\boxed{5} and", AnswerForm::kNone, ""},
         {"\\boxed{5} <think>or \\boxed{7}", AnswerForm::kBox, "5"},
         {"a</think>b</think>\\boxed{7}", AnswerForm::kBox, "7"}});
}

TEST(FindMarkedAnswer, SaysWhatIsBroken) {
  EXPECT_EQ(FindMarkedAnswer("so \\boxed{12").problem, "the last box is never closed");
  EXPECT_EQ(FindMarkedAnswer("\\boxed{5} or better \\boxed{12").problem,
            "the last box is never closed");
  EXPECT_EQ(FindMarkedAnswer("\\boxed").problem, "the last box is never closed");
  EXPECT_EQ(FindMarkedAnswer("<answer>12").problem, "the answer tag is never closed");
  EXPECT_EQ(FindMarkedAnswer("<answer>1</answer><answer>12").problem,
            "the answer tag is never closed");
  EXPECT_EQ(FindMarkedAnswer("\\boxed{5} or \\boxed{7}").problem, "several boxes are joined");
  EXPECT_EQ(FindMarkedAnswer("$\\boxed{5}$, $\\boxed{7}$").problem, "several boxes are joined");
  EXPECT_EQ(FindMarkedAnswer("<answer>\\boxed{5}\\boxed{7}</answer>").problem,
            "several boxes are joined");
}

TEST(FindLastNumber, FindsTheLastOne) {
  const auto find = [](const std::string& text) {
    return std::string(FindLastNumber(text).value_or("none"));
  };
  EXPECT_EQ(find("3 and 4 make 7."), "7");
  EXPECT_EQ(find("so it is $1,234.50."), "1,234.50");
  EXPECT_EQ(find("it is -5"), "-5");
  EXPECT_EQ(find("12 - 5"), "5");
  EXPECT_EQ(find("12-5"), "5");
  EXPECT_EQ(find("that is 3/4 of it"), "3/4");
  EXPECT_EQ(find("about 12% of it"), "12%");
  EXPECT_EQ(find("values 1, 2, 3"), "3");
  EXPECT_EQ(find(".5"), ".5");
  EXPECT_EQ(find("done.5"), "5");
  EXPECT_EQ(find("none here"), "none");
  EXPECT_EQ(find("7 <think> 8"), "7");
}

TEST(KeepsForm, AsksForOneOfThePromptedForms) {
  const auto keeps = [](const std::string& text) {
    return KeepsForm(text, FindMarkedAnswer(text));
  };
  EXPECT_TRUE(keeps("steps \\boxed{5}"));
  EXPECT_TRUE(keeps("steps\n#### 5"));
  EXPECT_FALSE(keeps("the answer is 5"));
  EXPECT_FALSE(keeps("steps \\boxed{5"));
  EXPECT_FALSE(keeps("no answer"));
  // R1's form, with the opening <think> written by the model or by the prompt.
  EXPECT_TRUE(keeps("<think>steps</think><answer>5</answer>"));
  EXPECT_TRUE(keeps("\n<think> steps </think>\n<answer> 5 </answer>\n"));
  EXPECT_TRUE(keeps(" steps </think> <answer>5</answer>"));
  EXPECT_TRUE(keeps("<think>steps</think> So it is \\boxed{5}."));
  EXPECT_FALSE(keeps("<answer>5</answer>"));
  EXPECT_FALSE(keeps("Hm. <think>steps</think><answer>5</answer>"));
  EXPECT_FALSE(keeps("<think>a</think>b</think><answer>5</answer>"));
  EXPECT_FALSE(keeps("<think>a<think>b</think><answer>5</answer>"));
  EXPECT_FALSE(keeps("<think>a</think> so <answer>5</answer>"));
  EXPECT_FALSE(keeps("<think>a</think><answer>5</answer> bye"));
  EXPECT_FALSE(keeps("<think>a</think><answer>5</answer><answer>5</answer>"));
  EXPECT_FALSE(keeps("<think>a<answer>4</answer></think><answer>5</answer>"));
  EXPECT_FALSE(keeps("\\boxed{5} <think>more"));
}

// Linear: anything quadratic would take minutes.
TEST(FindMarkedAnswer, TakesHostileTextsAtOnce) {
  for (const std::string& piece : std::vector<std::string>{
           "answer:. ", "answer is ", "answer:\n", "\\boxed{",  "\\boxed{1}", "\\fbox ",
           "####",      "#### 1",     "<answer>",  "</answer>", "<think>",    "</think>",
           "$",         "$$ ",        "\\(",       "\\] ",      "**",         "1,",
           "-1.",       "\\",         "}",         " ",         "\n",         "\\begin{align}"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += piece;
    for (const JoinBoxes join : {JoinBoxes::kByConnectives, JoinBoxes::kByFewWords}) {
      KeepsForm(text, FindMarkedAnswer(text, join));
    }
    FindLastNumber(text);
    FindLooseAnswers(text);
  }
}

}  // namespace
}  // namespace ponder
