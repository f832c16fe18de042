#include "app/config_convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ponder {
namespace {

using ::testing::ElementsAre;

absl::StatusOr<RunConfig> Parse(const std::string& text) { return ParseConfig(text, "a.toml"); }

TEST(ConfigConvertTest, AnOwnPromptConsistsOfItsParts) {
  const absl::StatusOr<RunConfig> config = Parse(R"(
[prompt]
template = "custom"
[prompt.custom]
system = "Be brief."
user = "{question} In a box, please."
answer_prefix = "Well: "
solution = "{solution} So {gold}."
)");
  ASSERT_TRUE(config.ok()) << config.status();
  PromptTemplate prompt = ToPromptTemplate(*config).value();
  EXPECT_FALSE(prompt.plain);
  const Task task{.question = "1 + 1?", .gold = "2", .solution = "One more."};
  EXPECT_THAT(
      BuildMessages(prompt, task),
      ElementsAre(Message{"system", "Be brief."}, Message{"user", "1 + 1? In a box, please."}));
  EXPECT_EQ(prompt.answer_prefix, "Well: ");
  EXPECT_EQ(BuildSolution(prompt, task), "One more. So 2.");

  const std::string whole =
      "[prompt]\ntemplate = \"custom\"\n[prompt.custom]\nchat = false\n"
      "user = \"{question}\"\n";
  prompt = ToPromptTemplate(Parse(whole).value()).value();
  EXPECT_TRUE(prompt.plain);
  EXPECT_EQ(BuildSolution(prompt, task), "One more.\n\\boxed{2}");
  EXPECT_EQ(ToPromptTemplate(Parse("").value()).value().name, "boxed");
}

}  // namespace
}  // namespace ponder
