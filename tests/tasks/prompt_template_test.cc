#include "tasks/prompt_template.h"

#include <gmock/gmock.h>

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

const Task kTask{.question = "What is 2 + 3?", .gold = "5", .solution = "2 + 3 = 5."};

TEST(PromptTemplate, BoxedAsksForStepsAndABox) {
  const PromptTemplate boxed = FindPromptTemplate("boxed").value();
  EXPECT_FALSE(boxed.plain);
  EXPECT_THAT(BuildMessages(boxed, kTask),
              ElementsAre(Message{"user",
                                  "What is 2 + 3?\nThink step by step, then give the final answer "
                                  "in \\boxed{}."}));
  EXPECT_EQ(BuildSolution(boxed, kTask), "2 + 3 = 5.\n\\boxed{5}");
}

TEST(PromptTemplate, R1OpensTheThinkingAndItsSolutionClosesIt) {
  const PromptTemplate r1 = FindPromptTemplate("r1").value();
  EXPECT_TRUE(r1.plain);
  const std::vector<Message> messages = BuildMessages(r1, kTask);
  ASSERT_EQ(messages.size(), 1);
  EXPECT_THAT(messages[0].content, EndsWith("\nUser: What is 2 + 3?\nAssistant:"));
  EXPECT_EQ(r1.answer_prefix + BuildSolution(r1, kTask),
            " <think> 2 + 3 = 5. </think> <answer>5</answer>");
}

TEST(PromptTemplate, R1ChatSaysTheFormInASystemMessage) {
  const PromptTemplate r1 = FindPromptTemplate("r1-chat").value();
  EXPECT_FALSE(r1.plain);
  const std::vector<Message> messages = BuildMessages(r1, kTask);
  ASSERT_EQ(messages.size(), 2);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_THAT(messages[0].content, HasSubstr("<answer> answer here </answer>"));
  EXPECT_EQ(messages[1], (Message{"user", "What is 2 + 3?"}));
  EXPECT_EQ(r1.answer_prefix + BuildSolution(r1, kTask),
            "<think>\n2 + 3 = 5.\n</think>\n<answer>5</answer>");
}

TEST(PromptTemplate, PlainIsTheFormOfGsm8k) {
  const PromptTemplate plain = FindPromptTemplate("plain").value();
  EXPECT_TRUE(plain.plain);
  EXPECT_EQ(BuildMessages(plain, kTask)[0].content, "Question: What is 2 + 3?\nAnswer:");
  EXPECT_EQ(BuildSolution(plain, kTask), " 2 + 3 = 5.\n#### 5");
}

TEST(PromptTemplate, CodeShowsTheTestsAndAsksForABlock) {
  const PromptTemplate code = FindPromptTemplate("code").value();
  Task task{.kind = "code",
            .question = "Double it.",
            .data = R"({"test_list": ["assert f(1) == 2", "assert f(2) == 4"]})",
            .solution = "def f(x):\n    return 2 * x"};
  const std::string user = BuildMessages(code, task).back().content;
  EXPECT_THAT(user, HasSubstr("Double it.\nIt must pass:\nassert f(1) == 2\nassert f(2) == 4\n"));
  EXPECT_THAT(user, HasSubstr("begins with ```python and ends"));
  EXPECT_EQ(BuildSolution(code, task), "```python\ndef f(x):\n    return 2 * x\n```");
  task.data = R"({"language": "cpp", "tests": [{"input": "1", "output": "2"}]})";
  EXPECT_THAT(BuildMessages(code, task).back().content, HasSubstr("Double it.\n\nThink first"));
  EXPECT_THAT(BuildMessages(code, task).back().content, HasSubstr("```cpp"));
}

TEST(PromptTemplate, TextOfATaskIsNotExpandedAgain) {
  const Task task{.question = "Is {gold} or {question} a word, {x}?", .gold = "no {solution}"};
  const PromptTemplate boxed = FindPromptTemplate("boxed").value();
  EXPECT_THAT(BuildMessages(boxed, task)[0].content,
              HasSubstr("Is {gold} or {question} a word, {x}?\n"));
  EXPECT_EQ(BuildSolution(boxed, task), "\\boxed{no {solution}}");
}

TEST(PromptTemplate, AnUnknownNameListsTheKnownOnes) {
  const absl::Status status = FindPromptTemplate("r2").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("\"r2\"; known are \"r1\", \"r1-chat\", \"boxed\", \"code\", \"plain\""));
}

}  // namespace
}  // namespace ponder
