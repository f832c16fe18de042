#include "app/task_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "tasks/task_file.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kLines = 200;          // that are looked at
constexpr size_t kMostBytes = 16 << 20;  // of them together
constexpr double kMostlyFormulas = 0.5;  // share of expected answers

// Names in the order of preference.
const std::vector<std::string> kQuestions = {"question", "problem", "prompt",     "query",
                                             "text",     "input",   "instruction"};
const std::vector<std::string> kGolds = {"answer",          "gold",   "final_answer",
                                         "expected_answer", "target", "ground_truth",
                                         "solution",        "output", "label"};
const std::vector<std::string> kSolutions = {"solution", "rationale", "reasoning", "explanation"};
const std::vector<std::string> kIds = {"id", "task_id", "unique_id", "uid"};

struct FirstLines {
  std::string text;
  std::vector<json> rows;
};

absl::StatusOr<FirstLines> ReadFirstLines(const std::string& path) {
  std::ifstream file(path);
  if (!file) return NotFound("cannot open the task file {}", path);
  FirstLines lines;
  std::string line;
  for (int64_t number = 1; static_cast<int64_t>(lines.rows.size()) < kLines; ++number) {
    if (!std::getline(file, line)) break;
    if (lines.text.size() + line.size() > kMostBytes) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    json row = ParseJson(line);
    if (!row.is_object()) {
      return InvalidArgument("{}:{}: expected a JSON object, as a file of JSON lines has them",
                             path, number);
    }
    lines.text += line + "\n";
    lines.rows.push_back(std::move(row));
  }
  if (lines.rows.empty()) return InvalidArgument("{} holds no tasks", path);
  return lines;
}

// Whether every row has text (or a number) there.
bool Holds(const std::vector<json>& rows, const std::string& field) {
  return std::ranges::all_of(rows, [&](const json& row) {
    const auto found = row.find(field);
    return found != row.end() && (found->is_string() || found->is_number());
  });
}

std::optional<std::string> FirstHeld(const std::vector<json>& rows,
                                     const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (Holds(rows, name)) return name;
  }
  return std::nullopt;
}

bool AllContain(const std::vector<json>& rows, const std::string& field, const std::string& mark) {
  return std::ranges::all_of(rows, [&](const json& row) {
    return row[field].is_string() && row[field].get<std::string>().find(mark) != std::string::npos;
  });
}

std::string FieldsOf(const json& row) {
  std::vector<std::string> names;
  for (const auto& [name, value] : row.items()) names.push_back(name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// A name that is another one in each row.
bool IsUnique(const std::vector<json>& rows, const std::string& field) {
  std::set<std::string> seen;
  return std::ranges::all_of(
      rows, [&](const json& row) { return seen.insert(row[field].dump()).second; });
}

// Whether it may be a number or a formula: a digit, a command of LaTeX, or a single letter.
bool LooksLikeMathematics(const std::string& gold) {
  return gold.find_first_of("0123456789\\=") != std::string::npos || gold.size() == 1;
}

absl::Status ChooseVerifier(const FirstLines& lines, TaskFields& fields) {
  // As a run will read them.
  PONDER_ASSIGN_OR_RETURN(const std::vector<Task> tasks,
                          ParseTaskLines(lines.text, fields.keys.path,
                                         {.question_field = fields.keys.question_field,
                                          .gold_field = fields.keys.gold_field,
                                          .gold_after = fields.keys.gold_after}));
  const auto formulas = std::ranges::count_if(
      tasks, [](const Task& task) { return LooksLikeMathematics(task.gold); });
  const double share = static_cast<double>(formulas) / static_cast<double>(tasks.size());
  fields.keys.verifier = share >= kMostlyFormulas ? "math" : "text";
  fields.why_verifier = fmt::format(
      "{} of the first {} expected answers look like numbers or formulas", formulas, tasks.size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TaskFields> DetectTaskFields(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(const FirstLines lines, ReadFirstLines(path));
  const std::vector<json>& rows = lines.rows;
  TaskFields fields;
  fields.keys.path = path;
  const std::optional<std::string> question = FirstHeld(rows, kQuestions);
  if (!question.has_value()) {
    return InvalidArgument("{}: expected a question in one of the fields {}; found {}", path,
                           fmt::join(kQuestions, ", "), FieldsOf(rows[0]));
  }
  fields.keys.question_field = *question;
  if (const auto id = FirstHeld(rows, kIds); id.has_value() && IsUnique(rows, *id)) {
    fields.keys.id_field = *id;
  }
  // HumanEval has "test", MBPP "test_list": what is expected of code are its tests.
  if (std::ranges::all_of(rows, [](const json& row) {
        return row.contains("test_list") || (row.contains("test") && row.contains("entry_point"));
      })) {
    fields.keys.verifier = "code";
    fields.why_gold = "code has tests instead";
    fields.why_verifier = "each row has tests of a program";
    return fields;
  }
  std::vector<std::string> golds = kGolds;
  std::erase(golds, *question);
  const std::optional<std::string> gold = FirstHeld(rows, golds);
  if (!gold.has_value()) {
    return InvalidArgument("{}: expected an answer in one of the fields {}; found {}", path,
                           fmt::join(kGolds, ", "), FieldsOf(rows[0]));
  }
  fields.keys.gold_field = *gold;
  if (AllContain(rows, *gold, "####")) {
    // GSM8K: the worked solution, then #### and the answer.
    fields.keys.gold_after = "####";
    fields.keys.solution_field = *gold;
    fields.why_gold = "each answer ends with #### and the result";
  } else {
    std::vector<std::string> solutions = kSolutions;
    std::erase(solutions, *gold);
    std::erase(solutions, *question);
    if (const auto solution = FirstHeld(rows, solutions)) fields.keys.solution_field = *solution;
  }
  PONDER_RETURN_IF_ERROR(ChooseVerifier(lines, fields));
  return fields;
}

}  // namespace ponder
