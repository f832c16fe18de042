#include "verifiers/item_json.h"

#include <array>

#include "base/json_member.h"
#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 100;

std::string Field(const json& value, const char* name) {
  const auto found = value.find(name);
  if (found == value.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : Dump(*found);
}

// A string's content; anything else as it is written in `text`.
std::string VerbatimField(const json& value, std::string_view text, const char* name) {
  const auto found = value.find(name);
  if (found == value.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  return std::string(JsonMember(text, name).value_or(""));
}

VerdictStatus StatusCalled(std::string_view name) {
  using enum VerdictStatus;
  constexpr std::array kAll = {kCorrect,     kWrong,   kNoAnswer, kUnparseable,
                               kInvalidGold, kTimeout, kInternal};
  for (const VerdictStatus status : kAll) {
    if (ToString(status) == name) return status;
  }
  return kUnspecified;
}

}  // namespace

json ParseJson(std::string_view text) {
  bool too_deep = false;
  const auto within = [&](int depth, json::parse_event_t, json&) {
    too_deep |= depth > kMaxDepth;
    return !too_deep;
  };
  json value = json::parse(text, within, /*allow_exceptions=*/false);
  return too_deep ? json(json::value_t::discarded) : value;
}

json ToJson(const VerifyItem& item) {
  const Task& task = item.task;
  json data = ParseJson(task.data);
  return {{"task",
           {{"id", task.id},
            {"kind", task.kind},
            {"source", task.source},
            {"question", task.question},
            {"gold", task.gold},
            {"data", data.is_object() ? std::move(data) : json(task.data)},
            {"difficulty", task.difficulty}}},
          {"completion", item.completion}};
}

json ToJson(const Verdict& verdict) {
  return {{"status", ToString(verdict.status)},
          {"score", verdict.score},
          {"parts", verdict.parts},
          {"extracted", verdict.extracted},
          {"reason", verdict.reason},
          {"elapsed_us", verdict.elapsed_us}};
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

absl::StatusOr<VerifyItem> ItemFromJson(const json& value, std::string_view text,
                                        const std::string& default_kind) {
  if (!value.is_object() || !value.contains("completion") || !value["completion"].is_string() ||
      !(value.contains("gold") || value.contains("task"))) {
    return InvalidArgument(
        "expected {{\"id\",\"gold\",\"completion\"}} or {{\"id\",\"task\",\"completion\"}}");
  }
  VerifyItem item;
  item.completion = value["completion"].get<std::string>();
  item.task.kind = default_kind;
  if (value.contains("task") && value["task"].is_object()) {
    const json& task = value["task"];
    item.task.id = Field(task, "id");
    if (task.contains("kind")) item.task.kind = Field(task, "kind");
    item.task.source = Field(task, "source");
    item.task.question = Field(task, "question");
    const std::string_view task_text = JsonMember(text, "task").value_or("");
    item.task.gold = VerbatimField(task, task_text, "gold");
    item.task.data = VerbatimField(task, task_text, "data");
    if (const auto found = task.find("difficulty"); found != task.end() && found->is_number()) {
      item.task.difficulty = found->get<double>();
    }
  } else {
    item.task.gold = VerbatimField(value, text, "gold");
  }
  return item;
}

Verdict VerdictFromJson(const json& value) {
  if (!value.is_object()) return InternalVerdict("expected a JSON object as verdict");
  Verdict verdict;
  bool scored = false;
  if (const auto score = value.find("score"); score != value.end() && !score->is_null()) {
    scored = score->is_number() || score->is_boolean();
    if (!scored) return InternalVerdict("expected \"score\" as a number, true or false");
    verdict.score = score->is_boolean() ? (score->get<bool>() ? 1.0 : 0.0) : score->get<double>();
  }
  if (const auto status = value.find("status"); status != value.end()) {
    const std::string name = status->is_string() ? status->get<std::string>() : "";
    verdict.status = StatusCalled(name);
    if (verdict.status == VerdictStatus::kUnspecified) {
      return InternalVerdict(fmt::format("\"{}\" is no status of a verdict", name.substr(0, 40)));
    }
    if (!scored) verdict.score = verdict.status == VerdictStatus::kCorrect ? 1 : 0;
  } else if (scored) {
    verdict.status = verdict.score == 1 ? VerdictStatus::kCorrect : VerdictStatus::kWrong;
  } else {
    return InternalVerdict("expected \"status\" or \"score\" in a verdict");
  }
  if (const auto parts = value.find("parts"); parts != value.end() && !parts->is_null()) {
    if (!parts->is_object()) return InternalVerdict("expected \"parts\" as an object of numbers");
    for (const auto& [name, part] : parts->items()) {
      if (!part.is_number()) return InternalVerdict("expected \"parts\" as an object of numbers");
      verdict.parts[name] = part.get<double>();
    }
  }
  verdict.extracted = Field(value, "extracted");
  verdict.reason = Field(value, "reason");
  if (const auto elapsed = value.find("elapsed_us");
      elapsed != value.end() && elapsed->is_number_integer()) {
    verdict.elapsed_us = elapsed->get<int64_t>();
  }
  return CheckedVerdict(std::move(verdict));
}

}  // namespace ponder
