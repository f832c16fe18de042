#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "learner/trainer.h"
#include "model/chat_template.h"
#include "model/config.h"
#include "model/tokenizer.h"
#include "tasks/prompt_template.h"

namespace ponder {

// From a task to what the model reads: prompt template, chat template, tokenizer. Thread-safe.
class PromptBuilder {
 public:
  // `chat` may be empty only for a plain prompt template. The tokenizer outlives the builder.
  static absl::StatusOr<PromptBuilder> Create(const Tokenizer& tokenizer, const ModelConfig& config,
                                              PromptTemplate prompt_template,
                                              std::optional<ChatTemplate> chat);

  absl::StatusOr<std::string> Prompt(const Task& task) const;
  std::vector<int32_t> Encode(const std::string& prompt) const {
    return tokenizer_->Encode(prompt);
  }

  // The worked solution as an example: the prompt's ids, the solution's ids and a stop token.
  // INVALID_ARGUMENT where the task has no solution.
  absl::StatusOr<SftExample> WorkedExample(const Task& task) const;
  // A conversation whose last turn, the assistant's, is learnt.
  absl::StatusOr<SftExample> ConversationExample(std::vector<Message> messages) const;
  SftExample TextExample(const std::string& prompt, const std::string& completion) const;

  const std::vector<int32_t>& StopIds() const { return stop_ids_; }

 private:
  PromptBuilder() = default;

  const Tokenizer* tokenizer_ = nullptr;
  PromptTemplate prompt_template_;
  std::optional<ChatTemplate> chat_;
  std::vector<int32_t> stop_ids_;
  int32_t end_of_answer_ = -1;  // what a learnt completion ends with
};

}  // namespace ponder
