#include "tasks/prompt_template.h"

#include <nlohmann/json.hpp>
#include <string_view>

namespace ponder {
namespace {

// What a prompt says of a task of code.
struct CodeWords {
  std::string tests;  // the asserts that MBPP shows, with words around; empty where there are none
  std::string language = "python";
};

CodeWords ReadCodeWords(const Task& task) {
  CodeWords words;
  const nlohmann::json data = nlohmann::json::parse(task.data, nullptr, /*allow_exceptions=*/false);
  if (!data.is_object()) return words;
  if (const auto tests = data.find("test_list"); tests != data.end() && tests->is_array()) {
    for (const nlohmann::json& test : *tests) {
      if (test.is_string()) words.tests += test.get<std::string>() + "\n";
    }
    if (!words.tests.empty()) words.tests = "It must pass:\n" + words.tests;
  }
  if (data.value("language", nlohmann::json()) == "cpp") words.language = "cpp";
  return words;
}

// One pass: text that a value brings in is never expanded again.
std::string Fill(std::string_view form, const Task& task) {
  const CodeWords code = task.kind == "code" ? ReadCodeWords(task) : CodeWords();
  std::string result;
  size_t position = 0;
  while (position < form.size()) {
    const size_t open = form.find('{', position);
    result.append(form.substr(position, open - position));
    if (open == std::string_view::npos) break;
    const std::string_view rest = form.substr(open);
    const auto insert = [&](std::string_view name, const std::string& value) {
      if (!rest.starts_with(name)) return false;
      result.append(value);
      position = open + name.size();
      return true;
    };
    if (insert("{question}", task.question) || insert("{solution}", task.solution) ||
        insert("{gold}", task.gold) || insert("{tests}", code.tests) ||
        insert("{language}", code.language)) {
      continue;
    }
    result.push_back('{');
    position = open + 1;
  }
  return result;
}

const std::vector<PromptTemplate>& KnownTemplates() {
  static const auto* const known = new std::vector<PromptTemplate>{
      // DeepSeek-R1, table 1 (DeepSeek-AI 2025), with the thinking opened for the model.
      {.name = "r1",
       .system = "",
       .user =
           "A conversation between User and Assistant. The user asks a question, and the Assistant "
           "solves it. The assistant first thinks about the reasoning process in the mind and then "
           "provides the user with the answer. The reasoning process and answer are enclosed "
           "within "
           "<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning "
           "process here </think> <answer> answer here </answer>.\nUser: {question}\nAssistant:",
       .answer_prefix = " <think>",
       .solution = " {solution} </think> <answer>{gold}</answer>",
       .plain = true},
      {.name = "r1-chat",
       .system = "First think about the reasoning process, then give the answer: "
                 "<think> reasoning process here </think> <answer> answer here </answer>.",
       .user = "{question}",
       .answer_prefix = "<think>\n",
       .solution = "{solution}\n</think>\n<answer>{gold}</answer>",
       .plain = false},
      {.name = "boxed",
       .system = "",
       .user = "{question}\nThink step by step, then give the final answer in \\boxed{}.",
       .answer_prefix = "",
       .solution = "{solution}\n\\boxed{{gold}}",
       .plain = false},
      {.name = "code",
       .system = "",
       .user = "{question}\n{tests}\nThink first, then give all of the code in one block that "
               "begins with ```{language} and ends with ```.",
       .answer_prefix = "",
       .solution = "```{language}\n{solution}\n```",
       .plain = false},
      // GSM8K's own form.
      {.name = "plain",
       .system = "",
       .user = "Question: {question}\nAnswer:",
       .answer_prefix = "",
       .solution = " {solution}\n#### {gold}",
       .plain = true},
  };
  return *known;
}

}  // namespace

absl::StatusOr<PromptTemplate> FindPromptTemplate(const std::string& name) {
  std::string names;
  for (const PromptTemplate& candidate : KnownTemplates()) {
    if (candidate.name == name) return candidate;
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", candidate.name);
  }
  return InvalidArgument("no prompt template is called \"{}\"; known are {}", name, names);
}

std::vector<Message> BuildMessages(const PromptTemplate& prompt_template, const Task& task) {
  std::vector<Message> messages;
  if (!prompt_template.system.empty())
    messages.push_back({"system", Fill(prompt_template.system, task)});
  messages.push_back({"user", Fill(prompt_template.user, task)});
  return messages;
}

std::string BuildSolution(const PromptTemplate& prompt_template, const Task& task) {
  std::string text = Fill(prompt_template.solution, task);
  // A task without a worked solution must not leave the line break that would have followed it.
  if (task.solution.empty() && text.starts_with('\n')) text.erase(0, 1);
  return text;
}

}  // namespace ponder
