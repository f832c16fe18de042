#include "model/chat_template.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/random.h"
#include "base/utf8.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

constexpr std::string_view kSlot = "{content}";
constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;

ChatTemplate MakeChatMl(std::string name, std::string default_system) {
  return {.name = std::move(name),
          .prefix = "",
          .default_system = std::move(default_system),
          .system_turn = "<|im_start|>system\n{content}<|im_end|>\n",
          .user_turn = "<|im_start|>user\n{content}<|im_end|>\n",
          .assistant_turn = "<|im_start|>assistant\n{content}<|im_end|>\n",
          .assistant_prefix = "<|im_start|>assistant\n",
          .stops = {"<|im_end|>"}};
}

ChatTemplate MakeQwen(std::string name, std::string default_system) {
  ChatTemplate chat = MakeChatMl(std::move(name), std::move(default_system));
  chat.stops.push_back("<|endoftext|>");
  return chat;
}

ChatTemplate MakeQwen3() {
  ChatTemplate chat = MakeQwen("qwen3", "");
  chat.keeps_only_last_thoughts = true;
  return chat;
}

ChatTemplate MakeLlama3() {
  return {.name = "llama3",
          .prefix = "<|begin_of_text|>",
          .default_system = "",
          .system_turn = "<|start_header_id|>system<|end_header_id|>\n\n{content}<|eot_id|>",
          .user_turn = "<|start_header_id|>user<|end_header_id|>\n\n{content}<|eot_id|>",
          .assistant_turn = "<|start_header_id|>assistant<|end_header_id|>\n\n{content}<|eot_id|>",
          .assistant_prefix = "<|start_header_id|>assistant<|end_header_id|>\n\n",
          .stops = {"<|eot_id|>", "<|end_of_text|>"},
          .trims_content = true};
}

ChatTemplate MakeLlama31() {
  ChatTemplate chat = MakeLlama3();
  chat.name = "llama3.1";
  chat.system_turn =
      "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday "
      "Date: 26 Jul 2024\n\n"
      "{content}<|eot_id|>";
  chat.stops.push_back("<|eom_id|>");
  chat.needs_system = true;
  return chat;
}

std::vector<ChatTemplate> KnownTemplates() {
  return {
      MakeChatMl("chatml", ""),
      MakeQwen("smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
      MakeQwen("qwen2", "You are a helpful assistant."),
      MakeQwen("qwen2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
      MakeQwen3(),
      MakeLlama3(),
      MakeLlama31()};
}

std::string KnownNames() {
  std::string names;
  for (const ChatTemplate& chat : KnownTemplates()) {
    if (!names.empty()) names += ", ";
    names += chat.name;
  }
  return names;
}

// A published template text, by its size and StableHash.
struct KnownText {
  size_t bytes;
  uint64_t hash;
  const char* name;
};
constexpr std::array<KnownText, 8> kKnownTexts = {{
    {196, 0x88bf4138d5c826f0, "chatml"},
    {368, 0x45ec583d4d25bc3a, "smollm2"},
    {328, 0x8a87094e0e1e24c5, "qwen2"},
    {2507, 0xc2b27ee60f1b8775, "qwen2.5"},
    {2509, 0xd855c6ee5492206f,
     "qwen2.5"},  // as first released: the tools' example has doubled braces
    {4168, 0x959a4551391a6549, "qwen3"},
    {389, 0x0e60067a5537498e, "llama3"},
    {4614, 0x60848a05837ce656, "llama3.1"},
}};

std::string HowToSet() {
  return fmt::format(
      "set chat.template in the configuration to one of {}, or give a [chat] section of your own",
      KnownNames());
}

// The text of `chat_template`: a string, or a list of named ones of which "default" counts. Empty
// where there is none.
absl::StatusOr<std::optional<std::string>> TemplateOfConfig(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kMaxFileBytes));
  simdjson::dom::parser parser;
  simdjson::dom::element root, value;
  if (const auto error = parser.parse(json).get(root)) {
    return InvalidArgument("{}: cannot be read: {}", path, simdjson::error_message(error));
  }
  if (!root.is_object()) return InvalidArgument("{}: expected an object", path);
  if (root.at_key("chat_template").get(value) || value.is_null()) return std::nullopt;
  std::string_view text;
  if (!value.get(text)) return std::string(text);
  simdjson::dom::array list;
  if (!value.get(list)) {
    for (const simdjson::dom::element entry : list) {
      std::string_view name;
      if (!entry.at_key("name").get(name) && name == "default" &&
          !entry.at_key("template").get(text)) {
        return std::string(text);
      }
    }
  }
  return InvalidArgument(
      "{}: chat_template: expected a text, or a list of texts with one named \"default\"", path);
}

// What Python's str.isspace() holds for white space: Unicode's and the four separators.
bool IsPythonSpace(char32_t c) { return IsSpace(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view Trim(std::string_view text) {
  while (!text.empty()) {
    size_t end = 0;
    if (!IsPythonSpace(NextCodePoint(text, &end))) break;
    text.remove_prefix(end);
  }
  while (!text.empty()) {
    const size_t begin = PreviousBoundary(text, text.size());
    size_t position = begin;
    if (!IsPythonSpace(NextCodePoint(text, &position))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string_view TrimNewlinesLeft(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  return text;
}

std::string_view TrimNewlinesRight(std::string_view text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

absl::StatusOr<std::string> FillTurn(const ChatTemplate& chat, const std::string& turn,
                                     std::string_view role, std::string_view content) {
  const size_t slot = turn.find(kSlot);
  if (slot == std::string::npos || turn.find(kSlot, slot + 1) != std::string::npos) {
    return InvalidArgument(
        "the chat template {}: expected {} exactly once in its {} turn, found \"{}\"", chat.name,
        kSlot, role, turn);
  }
  std::string text = turn.substr(0, slot);
  text += chat.trims_content ? Trim(content) : content;
  text += turn.substr(slot + kSlot.size());
  return text;
}

// The place of the last question; turns behind it are the answer to it. Where there is none: the
// last turn.
size_t LastQuestion(const std::vector<Message>& messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const std::string_view content = messages[i].content;
    const bool is_tool_result =
        content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (messages[i].role == "user" && !is_tool_result) return i;
  }
  return messages.size() - 1;
}

// An answer as Qwen3 wants it: with its thoughts only where it answers the last question.
std::string ArrangeThoughts(std::string_view content, bool answers_last_question, bool is_last) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  std::string_view thoughts;
  if (const size_t first = content.find(kClose); first != std::string_view::npos) {
    thoughts = TrimNewlinesRight(content.substr(0, first));
    if (const size_t open = thoughts.rfind(kOpen); open != std::string_view::npos) {
      thoughts.remove_prefix(open + kOpen.size());
    }
    thoughts = TrimNewlinesLeft(thoughts);
    content = TrimNewlinesLeft(content.substr(content.rfind(kClose) + kClose.size()));
  }
  if (!answers_last_question || (!is_last && thoughts.empty())) return std::string(content);
  return fmt::format("{}\n{}\n{}\n\n{}", kOpen, TrimNewlinesRight(thoughts), kClose,
                     TrimNewlinesLeft(content));
}

}  // namespace

absl::StatusOr<ChatTemplate> FindChatTemplate(const std::string& name) {
  for (ChatTemplate& chat : KnownTemplates()) {
    if (chat.name == name) return std::move(chat);
  }
  return InvalidArgument("there is no chat template \"{}\"; the known ones are {}", name,
                         KnownNames());
}

absl::StatusOr<ChatTemplate> RecogniseChatTemplate(std::string_view text) {
  const uint64_t hash = StableHash(text);
  for (const KnownText& known : kKnownTexts) {
    if (known.bytes == text.size() && known.hash == hash) return FindChatTemplate(known.name);
  }
  return InvalidArgument(
      "the chat template ({} bytes, beginning \"{}\") is none of those that are known by their "
      "exact text; {}",
      text.size(), ToValidUtf8(text.substr(0, 40)), HowToSet());
}

absl::StatusOr<ChatTemplate> DetectChatTemplate(const std::string& directory) {
  // The file of its own counts where both are there.
  std::string path = directory + "/chat_template.jinja";
  std::optional<std::string> text;
  if (std::filesystem::exists(path)) {
    PONDER_ASSIGN_OR_RETURN(text, ReadFile(path, kMaxFileBytes));
  } else {
    path = directory + "/tokenizer_config.json";
    if (std::filesystem::exists(path)) {
      PONDER_ASSIGN_OR_RETURN(text, TemplateOfConfig(path));
    }
  }
  if (!text.has_value()) return NotFound("{} has no chat template; {}", directory, HowToSet());
  absl::StatusOr<ChatTemplate> chat = RecogniseChatTemplate(*text);
  if (!chat.ok()) return Annotate(chat.status(), path);
  return chat;
}

absl::StatusOr<std::string> RenderChat(const ChatTemplate& chat,
                                       const std::vector<Message>& messages,
                                       bool add_assistant_prefix) {
  if (messages.empty())
    return InvalidArgument("a conversation needs at least one turn, found none");
  std::string text = chat.prefix;
  if (messages[0].role != "system" && (chat.needs_system || !chat.default_system.empty())) {
    PONDER_ASSIGN_OR_RETURN(const std::string turn,
                            FillTurn(chat, chat.system_turn, "system", chat.default_system));
    text += turn;
  }
  const size_t last_question = LastQuestion(messages);
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (!IsValidUtf8(message.content)) {
      return InvalidArgument("turn {} of the conversation ({}) is not valid UTF-8", i + 1,
                             message.role);
    }
    const std::string* turn = nullptr;
    std::string content = message.content;
    if (message.role == "system") {
      if (i > 0)
        return InvalidArgument(
            "turn {} of the conversation is a system turn; only the first can be one", i + 1);
      turn = &chat.system_turn;
    } else if (message.role == "user") {
      turn = &chat.user_turn;
    } else if (message.role == "assistant") {
      turn = &chat.assistant_turn;
      if (chat.keeps_only_last_thoughts) {
        content = ArrangeThoughts(content, i > last_question, i + 1 == messages.size());
      }
    } else {
      return InvalidArgument(
          "turn {} of the conversation: expected the role system, user or assistant, found \"{}\"",
          i + 1, message.role);
    }
    PONDER_ASSIGN_OR_RETURN(const std::string filled, FillTurn(chat, *turn, message.role, content));
    text += filled;
  }
  if (add_assistant_prefix) text += chat.assistant_prefix;
  return text;
}

}  // namespace ponder
