#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

// How a conversation becomes text.
struct ChatTemplate {
  std::string name;            // "chatml", "llama3", "qwen2", ..., or "custom"
  std::string prefix;          // before everything (the begin-of-sequence token, say)
  std::string default_system;  // put first where a conversation has no system turn; empty = none
  std::string system_turn, user_turn, assistant_turn;  // with "{content}"
  std::string assistant_prefix;                        // opens the answer to be generated
  std::vector<std::string> stops;                      // texts of tokens that end an answer
  bool trims_content = false;  // white space around a turn's content is dropped
  bool needs_system = false;   // a system turn is always there, be it empty
  // Qwen3's handling of reasoning: earlier answers lose their <think> block, the last one has it
  // even where it is empty.
  bool keeps_only_last_thoughts = false;
};

// By name; INVALID_ARGUMENT lists the known ones.
absl::StatusOr<ChatTemplate> FindChatTemplate(const std::string& name);

// The known template that DIR's chat_template (tokenizer_config.json or chat_template.jinja) is,
// recognised exactly and never guessed: an unknown one is an error that says how to set an own one.
absl::StatusOr<ChatTemplate> DetectChatTemplate(const std::string& directory);

// The same for the text of a chat_template.
absl::StatusOr<ChatTemplate> RecogniseChatTemplate(std::string_view text);

// The text for a conversation: at most one system turn, the first, then turns of "user" and
// "assistant" in any order. `add_assistant_prefix` opens an answer. INVALID_ARGUMENT names the turn
// at fault.
absl::StatusOr<std::string> RenderChat(const ChatTemplate& chat,
                                       const std::vector<Message>& messages,
                                       bool add_assistant_prefix);

}  // namespace ponder
