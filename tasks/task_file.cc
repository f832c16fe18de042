#include "tasks/task_file.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/ascii.h>
#include <simdjson.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/random.h"
#include "tasks/procedural.h"

namespace ponder {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
constexpr size_t kMaxLineBytes = size_t{16} << 20;  // a task with megabytes of tests still fits

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// "<<48/2=24>>24 clips" -> "24 clips"
std::string WithoutCalculatorNotes(std::string_view text) {
  std::string result;
  while (true) {
    const size_t open = text.find("<<");
    const size_t close = open == std::string_view::npos ? open : text.find(">>", open);
    if (close == std::string_view::npos) return result.append(text);
    result.append(text.substr(0, open));
    text.remove_prefix(close + 2);
  }
}

// Reads one line's fields; remembers where it is for messages.
constexpr char kCode[] = "code";

class LineReader {
 public:
  LineReader(std::string where, simdjson::dom::object object)
      : where_(std::move(where)), object_(object) {}

  bool Has(const std::string& field) const {
    return object_.at_key(field).error() == simdjson::SUCCESS;
  }

  // A string, or a number in its usual spelling.
  absl::StatusOr<std::string> Text(const std::string& field) const {
    simdjson::dom::element value;
    if (object_.at_key(field).get(value) != simdjson::SUCCESS) {
      std::string found;
      for (const auto [key, unused] : object_) {
        if (found.size() > 200) break;
        found += fmt::format("{}\"{}\"", found.empty() ? "" : ", ", key);
      }
      return InvalidArgument("{}: expected a field \"{}\", found {}", where_, field,
                             found.empty() ? "an empty object" : found);
    }
    switch (value.type()) {
      case simdjson::dom::element_type::STRING:
        return std::string(std::string_view(value));
      case simdjson::dom::element_type::INT64:
        return fmt::format("{}", int64_t(value));
      case simdjson::dom::element_type::UINT64:
        return fmt::format("{}", uint64_t(value));
      case simdjson::dom::element_type::DOUBLE:
        return fmt::format("{}", double(value));
      default:
        break;
    }
    return InvalidArgument("{}: expected a string or a number in field \"{}\", found {}", where_,
                           field, TypeName(value.type()));
  }

  // An object as compact JSON, a string as it is; `otherwise` where there is none.
  absl::StatusOr<std::string> Data(std::string_view otherwise) const {
    simdjson::dom::element value;
    if (object_.at_key("data").get(value) != simdjson::SUCCESS || value.is_null())
      return std::string(otherwise);
    if (value.is_object()) return simdjson::minify(value);
    if (value.is_string()) return std::string(std::string_view(value));
    return InvalidArgument("{}: expected an object or a string in field \"data\", found {}", where_,
                           TypeName(value.type()));
  }

 private:
  static const char* TypeName(simdjson::dom::element_type type) {
    switch (type) {
      case simdjson::dom::element_type::ARRAY:
        return "an array";
      case simdjson::dom::element_type::OBJECT:
        return "an object";
      case simdjson::dom::element_type::BOOL:
        return "true or false";
      case simdjson::dom::element_type::NULL_VALUE:
        return "null";
      default:
        return "a value of another type";
    }
  }

  std::string where_;
  simdjson::dom::object object_;
};

// `fallback_id` where no field names one.
absl::StatusOr<Task> ReadTask(const LineReader& line, std::string_view text,
                              const std::string& where, std::string fallback_id,
                              const TaskSourceOptions& options) {
  Task task{.id = std::move(fallback_id), .kind = options.verifier};
  PONDER_ASSIGN_OR_RETURN(task.question, line.Text(options.question_field));
  std::string answer;
  // Of code the tests are what is expected.
  const bool has_gold = options.verifier != kCode || line.Has(options.gold_field);
  if (has_gold) {
    PONDER_ASSIGN_OR_RETURN(answer, line.Text(options.gold_field));
  }
  std::string_view gold = answer;
  if (has_gold && !options.gold_after.empty()) {
    const size_t marker = gold.rfind(options.gold_after);
    if (marker == std::string_view::npos) {
      return InvalidArgument(
          "{}: expected \"{}\" before the gold answer in field \"{}\", found none", where,
          options.gold_after, options.gold_field);
    }
    task.solution = WithoutCalculatorNotes(Trim(gold.substr(0, marker)));
    gold.remove_prefix(marker + options.gold_after.size());
  }
  task.gold = std::string(Trim(gold));
  if (Trim(task.question).empty()) {
    return InvalidArgument("{}: expected a question in field \"{}\", found an empty text", where,
                           options.question_field);
  }
  if (has_gold && task.gold.empty()) {
    return InvalidArgument("{}: expected a gold answer in field \"{}\", found an empty text", where,
                           options.gold_field);
  }
  if (!options.id_field.empty()) {
    PONDER_ASSIGN_OR_RETURN(task.id, line.Text(options.id_field));
    if (task.id.empty())
      return InvalidArgument("{}: expected an id in field \"{}\", found an empty text", where,
                             options.id_field);
  }
  if (!options.solution_field.empty()) {
    PONDER_ASSIGN_OR_RETURN(task.solution, line.Text(options.solution_field));
  }
  // HumanEval, MBPP and their like have the tests beside the question.
  PONDER_ASSIGN_OR_RETURN(task.data, line.Data(options.verifier == kCode ? text : ""));
  return task;
}

class FileSource : public TaskSource {
 public:
  FileSource(std::string description, RandomKey key, std::vector<Task> tasks)
      : description_(std::move(description)), key_(key), tasks_(std::move(tasks)) {}

  std::string Describe() const override { return description_; }
  int64_t Size() const override { return static_cast<int64_t>(tasks_.size()); }

  absl::StatusOr<std::vector<Task>> TasksFor(int64_t step, int64_t count) override {
    if (step < 0 || count < 1) {
      return InvalidArgument(
          "expected a step from 0 and at least 1 task, found step {} and {} tasks", step, count);
    }
    if (count > Size()) {
      return FailedPrecondition(
          "{}: a step wants {} different tasks; lower the number of tasks a step or add tasks",
          description_, count);
    }
    const int64_t steps_per_epoch = Size() / count;
    const int64_t epoch = step / steps_per_epoch;
    if (epoch != epoch_) {
      order_ = RandomPermutation(key_, static_cast<uint64_t>(epoch), Size());
      epoch_ = epoch;
    }
    const int64_t begin = step % steps_per_epoch * count;
    std::vector<Task> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(tasks_[order_[begin + i]]);
    return result;
  }

 private:
  std::string description_;
  RandomKey key_;
  std::vector<Task> tasks_;
  std::vector<int64_t> order_;  // of epoch_
  int64_t epoch_ = -1;
};

}  // namespace

absl::StatusOr<std::vector<Task>> ParseTaskLines(std::string_view content, const std::string& name,
                                                 const TaskSourceOptions& options) {
  const std::string stem = std::filesystem::path(name).stem().string();
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
  std::vector<Task> tasks;
  absl::flat_hash_map<std::string, int64_t> lines_of_ids;
  simdjson::dom::parser parser;
  for (int64_t number = 1; !content.empty(); ++number) {
    const size_t end = content.find('\n');
    const std::string_view line = Trim(content.substr(0, end));
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", name, number);
    if (line.size() > kMaxLineBytes) {
      return InvalidArgument("{}: expected a line of at most {} bytes, found {}", where,
                             kMaxLineBytes, line.size());
    }
    simdjson::dom::element element;
    if (const auto error = parser.parse(line.data(), line.size()).get(element)) {
      return InvalidArgument("{}: expected one JSON object, found \"{}{}\" ({})", where,
                             line.substr(0, 60), line.size() > 60 ? "..." : "",
                             error == simdjson::NUMBER_ERROR
                                 ? "a number that is none, or has more than 64 bits: the latter "
                                   "goes into a string, \"data\": \"{...}\""
                                 : simdjson::error_message(error));
    }
    simdjson::dom::object object;
    if (element.get(object) != simdjson::SUCCESS) {
      return InvalidArgument("{}: expected one JSON object, found \"{}{}\"", where,
                             line.substr(0, 60), line.size() > 60 ? "..." : "");
    }
    PONDER_ASSIGN_OR_RETURN(Task task, ReadTask(LineReader(where, object), line, where,
                                                fmt::format("{}-{}", stem, number), options));
    task.source = stem;
    const auto [first, inserted] = lines_of_ids.try_emplace(task.id, number);
    if (!inserted) {
      return InvalidArgument(
          "{}: expected an id of its own, found \"{}\", which line {} has already", where, task.id,
          first->second);
    }
    tasks.push_back(std::move(task));
  }
  return tasks;
}

absl::StatusOr<std::unique_ptr<TaskSource>> CreateFileSource(const TaskSourceOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const std::string content, ReadFile(options.path, kMaxFileBytes));
  PONDER_ASSIGN_OR_RETURN(std::vector<Task> tasks, ParseTaskLines(content, options.path, options));
  const size_t total = tasks.size();
  std::erase_if(tasks, [&](const Task& task) {
    return IsHeldOut(task.question, options.held_out_share) != (options.split == Split::kHeldOut);
  });
  const char* const split = options.split == Split::kTrain ? "train" : "held-out";
  const std::string description =
      fmt::format("{}, {} split ({} of {} tasks)", options.path, split, tasks.size(), total);
  if (tasks.empty()) {
    return FailedPrecondition(
        "{}: no task is in this split; held_out_share is {}, 0 puts all of a file into train and 1 "
        "into "
        "held-out",
        description, options.held_out_share);
  }
  return std::make_unique<FileSource>(description, MakeRandomKey(options.seed, "tasks/file"),
                                      std::move(tasks));
}

}  // namespace ponder
