#pragma once

#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

// How a task's question becomes a conversation, and a worked solution an answer of the same form.
struct PromptTemplate {
  std::string name;
  std::string system;         // "" = none
  std::string user;           // with "{question}"; of code also "{tests}" and "{language}"
  std::string answer_prefix;  // put behind the opened answer ("<think>"), part of the prompt
  std::string solution;  // with "{solution}" and "{gold}": what supervised fine-tuning trains on
  bool plain = false;    // no chat template: `user` is the whole prompt text (the R1-Zero form)
};

// "r1" (think and answer tags), "r1-chat", "boxed" (step by step, then \boxed{}), "code" (a fenced
// block), "plain".
absl::StatusOr<PromptTemplate> FindPromptTemplate(const std::string& name);

std::vector<Message> BuildMessages(const PromptTemplate& prompt_template, const Task& task);
std::string BuildSolution(const PromptTemplate& prompt_template, const Task& task);

}  // namespace ponder
