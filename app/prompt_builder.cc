#include "app/prompt_builder.h"

#include "app/session.h"

namespace ponder {

absl::StatusOr<PromptBuilder> PromptBuilder::Create(const Tokenizer& tokenizer,
                                                    const ModelConfig& config,
                                                    PromptTemplate prompt_template,
                                                    std::optional<ChatTemplate> chat) {
  if (!prompt_template.plain && !chat.has_value()) {
    return InvalidArgument("the prompt template '{}' needs a chat template; set chat.template",
                           prompt_template.name);
  }
  PromptBuilder builder;
  builder.tokenizer_ = &tokenizer;
  builder.stop_ids_ = ponder::StopIds(config, tokenizer, chat.has_value() ? &*chat : nullptr);
  if (chat.has_value() && !chat->stops.empty()) {
    builder.end_of_answer_ = tokenizer.Find(chat->stops[0]).value_or(-1);
  }
  if (builder.end_of_answer_ < 0 && !builder.stop_ids_.empty()) {
    builder.end_of_answer_ = builder.stop_ids_[0];
  }
  if (builder.end_of_answer_ < 0) {
    return InvalidArgument(
        "the model names no end-of-sequence token and its chat template no stop; set "
        "chat.template");
  }
  builder.prompt_template_ = std::move(prompt_template);
  builder.chat_ = std::move(chat);
  return builder;
}

absl::StatusOr<std::string> PromptBuilder::Prompt(const Task& task) const {
  const std::vector<Message> messages = BuildMessages(prompt_template_, task);
  if (prompt_template_.plain) {
    std::string text;
    for (const Message& message : messages) text += message.content;
    return text + prompt_template_.answer_prefix;
  }
  PONDER_ASSIGN_OR_RETURN(std::string text, RenderChat(*chat_, messages, true));
  return text + prompt_template_.answer_prefix;
}

absl::StatusOr<SftExample> PromptBuilder::WorkedExample(const Task& task) const {
  if (task.solution.empty()) {
    return InvalidArgument(
        "task {} has no worked solution to learn from; name the field of one with "
        "tasks.file.solution_field, or give sft.path",
        task.id);
  }
  PONDER_ASSIGN_OR_RETURN(const std::string prompt, Prompt(task));
  return TextExample(prompt, BuildSolution(prompt_template_, task));
}

absl::StatusOr<SftExample> PromptBuilder::ConversationExample(std::vector<Message> messages) const {
  if (!chat_.has_value()) {
    return InvalidArgument("conversations need a chat template; set chat.template");
  }
  if (messages.empty() || messages.back().role != "assistant") {
    return InvalidArgument("expected a conversation whose last turn is the assistant's");
  }
  const std::string answer = std::move(messages.back().content);
  messages.pop_back();
  PONDER_ASSIGN_OR_RETURN(const std::string prompt, RenderChat(*chat_, messages, true));
  return TextExample(prompt, answer);
}

SftExample PromptBuilder::TextExample(const std::string& prompt,
                                      const std::string& completion) const {
  SftExample example{.prompt_ids = tokenizer_->Encode(prompt),
                     .completion_ids = tokenizer_->Encode(completion)};
  example.completion_ids.push_back(end_of_answer_);
  return example;
}

}  // namespace ponder
