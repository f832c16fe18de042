#include "model/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// SmolLM2's chat_template, to the byte.
constexpr char kSmolLm2Text[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
    "+ '\n"
    "'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

std::vector<Message> ToMessages(const Json& turns) {
  std::vector<Message> messages;
  for (const Json& turn : turns) messages.push_back({turn["role"], turn["content"]});
  return messages;
}

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ChatTemplateTest, RendersAsThePublishedTemplatesDo) {
  // tests/reference/chat_template_golden.py wrote these with `transformers`.
  const absl::StatusOr<std::string> text =
      ReadFile(std::string(PONDER_TEST_DATA) + "/chat_template_golden.json");
  ASSERT_TRUE(text.ok()) << text.status();
  const Json golden = Json::parse(*text);
  ASSERT_EQ(golden["rendered"].size(), 7u);
  for (const auto& [name, rendered] : golden["rendered"].items()) {
    const absl::StatusOr<ChatTemplate> chat = FindChatTemplate(name);
    ASSERT_TRUE(chat.ok()) << chat.status();
    EXPECT_EQ(chat->name, name);
    for (size_t i = 0; i < golden["conversations"].size(); ++i) {
      const std::vector<Message> messages = ToMessages(golden["conversations"][i]);
      const std::string expected = rendered["texts"][i];
      EXPECT_EQ(RenderChat(*chat, messages, false).value_or("(error)"), expected)
          << name << " " << i;
      EXPECT_EQ(RenderChat(*chat, messages, true).value_or("(error)"),
                expected + rendered["opening"].get<std::string>());
    }
  }
}

TEST(ChatTemplateTest, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT(ErrorOf(FindChatTemplate("vicuna").status()),
              HasSubstr("chatml, smollm2, qwen2, qwen2.5, qwen3, llama3, llama3.1"));
}

TEST(ChatTemplateTest, StopsAreTheTokensThatEndATurn) {
  EXPECT_THAT(FindChatTemplate("chatml")->stops, ElementsAre("<|im_end|>"));
  EXPECT_THAT(FindChatTemplate("qwen2.5")->stops, ElementsAre("<|im_end|>", "<|endoftext|>"));
  EXPECT_THAT(FindChatTemplate("llama3")->stops, ElementsAre("<|eot_id|>", "<|end_of_text|>"));
}

TEST(ChatTemplateTest, RefusesConversationsThatTheTemplateDoesNotKnow) {
  const ChatTemplate chat = *FindChatTemplate("smollm2");
  EXPECT_THAT(ErrorOf(RenderChat(chat, {}, true).status()), HasSubstr("at least one turn"));
  EXPECT_THAT(ErrorOf(RenderChat(chat, {{"user", "a"}, {"system", "b"}}, true).status()),
              HasSubstr("turn 2 of the conversation is a system turn; only the first can be one"));
  EXPECT_THAT(ErrorOf(RenderChat(chat, {{"system", "a"}, {"system", "b"}}, true).status()),
              HasSubstr("turn 2"));
  EXPECT_THAT(ErrorOf(RenderChat(chat, {{"user", "a"}, {"tool", "b"}}, true).status()),
              HasSubstr("turn 2 of the conversation: expected the role system, user or assistant, "
                        "found \"tool\""));
  EXPECT_THAT(ErrorOf(RenderChat(chat, {{"user", "a\xFF"}}, true).status()),
              HasSubstr("not valid UTF-8"));
}

TEST(ChatTemplateTest, AnOwnTemplateNeedsThePlaceOfTheContent) {
  ChatTemplate chat{.name = "custom",
                    .user_turn = "U: {content}\n",
                    .assistant_turn = "A",
                    .assistant_prefix = "A: "};
  EXPECT_EQ(RenderChat(chat, {{"user", "{content}"}}, true).value_or("(error)"),
            "U: {content}\nA: ");
  EXPECT_THAT(ErrorOf(RenderChat(chat, {{"user", "a"}, {"assistant", "b"}}, true).status()),
              HasSubstr("the chat template custom: expected {content} exactly once in its "
                        "assistant turn, found \"A\""));
  EXPECT_FALSE(RenderChat(chat, {{"system", "a"}}, true).ok());
  chat.user_turn = "{content}{content}";
  EXPECT_FALSE(RenderChat(chat, {{"user", "a"}}, true).ok());
}

TEST(ChatTemplateTest, RecognisesATextOnlyToTheByte) {
  const absl::StatusOr<ChatTemplate> chat = RecogniseChatTemplate(kSmolLm2Text);
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->name, "smollm2");
  for (std::string other : {std::string(kSmolLm2Text) + "\n",
                            std::string(kSmolLm2Text).replace(100, 1, "x"), std::string()}) {
    const absl::StatusOr<ChatTemplate> unknown = RecogniseChatTemplate(other);
    ASSERT_FALSE(unknown.ok());
    EXPECT_THAT(ErrorOf(unknown.status()),
                HasSubstr("set chat.template in the configuration to one of chatml, smollm2"));
    EXPECT_THAT(ErrorOf(unknown.status()), HasSubstr("[chat]"));
  }
}

class ChatTemplateDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "ponder_chat_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  std::string Detected() {
    const absl::StatusOr<ChatTemplate> chat = DetectChatTemplate(directory_);
    return chat.ok() ? chat->name : ErrorOf(chat.status());
  }

  std::string directory_;
};

TEST_F(ChatTemplateDirectoryTest, FindsTheTextInEitherFile) {
  EXPECT_THAT(Detected(), HasSubstr("has no chat template; set chat.template"));
  Write("tokenizer_config.json", Json({{"eos_token", "x"}}).dump());
  EXPECT_THAT(Detected(), HasSubstr("has no chat template"));
  Write("tokenizer_config.json", Json({{"chat_template", kSmolLm2Text}}).dump());
  EXPECT_EQ(Detected(), "smollm2");
  const Json named = {{{"name", "tool_use"}, {"template", "x"}},
                      {{"name", "default"}, {"template", kSmolLm2Text}}};
  Write("tokenizer_config.json", Json({{"chat_template", named}}).dump());
  EXPECT_EQ(Detected(), "smollm2");
  Write("chat_template.jinja", "{{ messages }}");
  EXPECT_THAT(
      Detected(),
      HasSubstr("chat_template.jinja: the chat template (14 bytes, beginning \"{{ messages }}\")"));
  Write("chat_template.jinja", kSmolLm2Text);
  EXPECT_EQ(Detected(), "smollm2");
}

TEST_F(ChatTemplateDirectoryTest, MalformedConfigurationsAreErrors) {
  for (const char* text :
       {"", "[]", "{", R"({"chat_template": 3})", R"({"chat_template": [{"name": "other"}]})"}) {
    Write("tokenizer_config.json", text);
    EXPECT_THAT(Detected(), HasSubstr("tokenizer_config.json: ")) << text;
  }
}

}  // namespace
}  // namespace ponder
