#include "verifiers/code/code_task.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace ponder {
namespace {

using nlohmann::json;

constexpr size_t kMaxTests = 10'000;
constexpr char kForms[] =
    "expected {\"prompt\",\"test\",\"entry_point\"}, {\"test_list\":[...]}, "
    "{\"tests\":[{\"input\",\"output\"}]}, {\"entry_point\",\"tests\":[{\"args\",\"expected\"}]} "
    "or {\"inputs\",\"outputs\"}";

// No JSON here holds integers of more than 64 bits; judge.py's does. Those come as
// {"\0integer": "DIGITS"}, which test_calls.py reads again.
constexpr size_t kSafeDigits = 18;

std::string WithLongIntegersMarked(std::string_view text) {
  std::string marked;
  bool in_text = false;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (in_text || (c != '-' && !absl::ascii_isdigit(c))) {
      const size_t length = in_text && c == '\\' ? 2 : 1;
      if (c == '"') in_text = !in_text;
      marked += text.substr(i, length);
      i += length;
      continue;
    }
    const size_t end = std::min(text.find_first_not_of("-+.eE0123456789", i), text.size());
    const std::string_view number = text.substr(i, end - i);
    const size_t digits = number.size() - (c == '-' ? 1 : 0);
    const bool is_integer =
        number.find_first_not_of("0123456789", number.size() - digits) == std::string_view::npos &&
        number[number.size() - digits] != '0';
    if (is_integer && digits > kSafeDigits) {
      marked += fmt::format(R"({{"\u0000integer":"{}"}})", number);
    } else {
      marked += number;
    }
    i = end;
  }
  return marked;
}

json ParseJson(std::string_view text) {
  return json::parse(WithLongIntegersMarked(text), nullptr, /*allow_exceptions=*/false);
}

const json* Find(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::StatusOr<std::string> Text(const json& object, const char* name) {
  const json* const value = Find(object, name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return InvalidArgument("\"{}\" of the task's data is not a text", name);
  return value->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> Texts(const json& object, const char* name) {
  std::vector<std::string> texts;
  const json* const value = Find(object, name);
  if (value == nullptr) return texts;
  if (!value->is_array()) return InvalidArgument("\"{}\" of the task's data is not an array", name);
  for (const json& item : *value) {
    if (!item.is_string()) {
      return InvalidArgument("\"{}\" of the task's data holds something else than texts", name);
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

absl::StatusOr<CodeLanguage> Language(const json& data) {
  PONDER_ASSIGN_OR_RETURN(const std::string name, Text(data, "language"));
  if (name.empty() || name == "python" || name == "python3" || name == "py") {
    return CodeLanguage::kPython;
  }
  if (name == "cpp" || name == "c++") return CodeLanguage::kCpp;
  return InvalidArgument("expected language \"python\" or \"cpp\", found \"{}\"", name);
}

// HumanEval: a function check(candidate).
absl::Status ReadCheck(const json& data, CodeTask& task) {
  PONDER_ASSIGN_OR_RETURN(const std::string test, Text(data, "test"));
  if (task.entry_point.empty()) {
    return InvalidArgument("the task's data has \"test\" but no \"entry_point\"");
  }
  task.tests =
      json{{"tests", {test}}, {"prompt", task.prompt}, {"entry_point", task.entry_point}}.dump(
          -1, ' ', false, json::error_handler_t::replace);
  return absl::OkStatus();
}

// MBPP: assert lines, which name the function.
absl::Status ReadAsserts(const json& data, CodeTask& task) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::string> tests, Texts(data, "test_list"));
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::string> imports, Texts(data, "test_imports"));
  PONDER_ASSIGN_OR_RETURN(const std::string setup, Text(data, "test_setup_code"));
  if (tests.empty()) return InvalidArgument("\"test_list\" of the task's data is empty");
  task.prompt.clear();  // MBPP's prompt is in words
  task.tests =
      json{{"tests", tests}, {"setup", fmt::format("{}\n{}", fmt::join(imports, "\n"), setup)}}
          .dump(-1, ' ', false, json::error_handler_t::replace);
  return absl::OkStatus();
}

absl::Status AddRun(const json& input, const json& output, CodeTask& task) {
  if (!input.is_string() || !output.is_string()) {
    return InvalidArgument("input and output of a test are not both texts");
  }
  task.runs.push_back({input.get<std::string>(), output.get<std::string>()});
  return absl::OkStatus();
}

absl::Status AddCall(const json& args, const json& kwargs, const json& expected, json& calls) {
  if (!args.is_array() || !kwargs.is_object()) {
    return InvalidArgument("the arguments of a test are not an array, or its keywords no object");
  }
  calls.push_back({{"args", args}, {"kwargs", kwargs}, {"expected", expected}});
  return absl::OkStatus();
}

absl::Status ReadTests(const json& tests, CodeTask& task, json& calls) {
  for (const json& test : tests) {
    if (!test.is_object()) return InvalidArgument("a test of the task's data is not an object");
    const json* const output = Find(test, "output");
    if (output != nullptr) {
      const json* const input = Find(test, "input");
      PONDER_RETURN_IF_ERROR(AddRun(input == nullptr ? json("") : *input, *output, task));
      continue;
    }
    if (!test.contains("expected")) {
      return InvalidArgument("a test of the task's data has neither \"output\" nor \"expected\"");
    }
    PONDER_RETURN_IF_ERROR(AddCall(test.value("args", json::array()),
                                   test.value("kwargs", json::object()), test["expected"], calls));
  }
  return absl::OkStatus();
}

absl::Status ReadParallel(const json& inputs, const json& outputs, CodeTask& task, json& calls) {
  if (!inputs.is_array() || !outputs.is_array() || inputs.size() != outputs.size()) {
    return InvalidArgument("\"inputs\" and \"outputs\" are not arrays of the same length");
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    PONDER_RETURN_IF_ERROR(task.entry_point.empty()
                               ? AddRun(inputs[i], outputs[i], task)
                               : AddCall(inputs[i], json::object(), outputs[i], calls));
  }
  return absl::OkStatus();
}

absl::Status ReadPairs(const json& data, CodeTask& task) {
  json calls = json::array();
  const json* const tests = Find(data, "tests");
  const json *const inputs = Find(data, "inputs"), *const outputs = Find(data, "outputs");
  if (tests != nullptr && tests->is_array()) {
    PONDER_RETURN_IF_ERROR(ReadTests(*tests, task, calls));
  } else if (inputs != nullptr && outputs != nullptr) {
    PONDER_RETURN_IF_ERROR(ReadParallel(*inputs, *outputs, task, calls));
  } else {
    return InvalidArgument("the task's data holds no tests: {}", kForms);
  }
  if (task.runs.size() + calls.size() > kMaxTests) {
    return InvalidArgument("the task has {} tests, at most {} are run",
                           task.runs.size() + calls.size(), kMaxTests);
  }
  if (calls.empty() == task.runs.empty()) {
    return InvalidArgument("the task's tests are to be either all \"output\" or all \"expected\"");
  }
  if (calls.empty()) return absl::OkStatus();
  if (task.entry_point.empty()) {
    return InvalidArgument("the tests call a function, but no \"entry_point\" names it");
  }
  task.tests = json{{"calls", calls}, {"entry_point", task.entry_point}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
  return absl::OkStatus();
}

}  // namespace

std::string_view ToString(CodeLanguage language) {
  return language == CodeLanguage::kPython ? "python" : "cpp";
}

absl::StatusOr<CodeTask> ParseCodeTask(const Task& task) {
  json data = ParseJson(task.data);
  if (!data.is_object()) return InvalidArgument("the task's data is no JSON object: {}", kForms);
  // APPS keeps the pairs in an object of their own, often as a text.
  if (const json* const nested = Find(data, "input_output")) {
    json pairs = nested->is_string() ? ParseJson(nested->get<std::string>()) : *nested;
    if (!pairs.is_object()) return InvalidArgument("\"input_output\" is no JSON object");
    data.update(pairs);
  }
  CodeTask out;
  PONDER_ASSIGN_OR_RETURN(out.language, Language(data));
  PONDER_ASSIGN_OR_RETURN(out.prompt, Text(data, "prompt"));
  PONDER_ASSIGN_OR_RETURN(out.entry_point, Text(data, "entry_point"));
  if (out.entry_point.empty()) {
    PONDER_ASSIGN_OR_RETURN(out.entry_point, Text(data, "fn_name"));
  }
  if (data.contains("test")) {
    PONDER_RETURN_IF_ERROR(ReadCheck(data, out));
  } else if (data.contains("test_list")) {
    PONDER_RETURN_IF_ERROR(ReadAsserts(data, out));
  } else {
    PONDER_RETURN_IF_ERROR(ReadPairs(data, out));
  }
  if (out.language == CodeLanguage::kCpp && out.runs.empty()) {
    return InvalidArgument(
        "C++ programs are judged by what they print: expected tests of {{\"input\",\"output\"}}");
  }
  return out;
}

}  // namespace ponder
