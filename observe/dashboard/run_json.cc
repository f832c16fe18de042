#include "observe/dashboard/run_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ponder {

using nlohmann::json;

int64_t RightSamples(const GroupSummary& group) {
  return std::count_if(group.samples.begin(), group.samples.end(), [](const SampleSummary& sample) {
    return sample.status == VerdictStatus::kCorrect;
  });
}

json ToJson(const Task& task) {
  return {{"id", task.id},         {"kind", task.kind},
          {"source", task.source}, {"question", task.question},
          {"gold", task.gold},     {"difficulty", task.difficulty}};
}

json ToJson(const SampleSummary& sample) {
  return {{"sample", sample.sample},
          {"group", sample.group},
          {"phase", sample.phase},
          {"step", sample.step},
          {"task_id", sample.task_id},
          {"index", sample.sample_index},
          {"status", ToString(sample.status)},
          {"score", sample.score},
          {"reward", sample.reward},
          {"advantage", sample.advantage},
          {"tokens", sample.tokens},
          {"finish", ToString(sample.finish)},
          {"clipped_tokens", sample.clipped_tokens},
          {"extracted", sample.extracted},
          {"reason", sample.reason},
          {"excerpt", sample.excerpt},
          {"match", true}};
}

json ToJson(const GroupSummary& group) {
  double sum = 0, squares = 0;
  json samples = json::array();
  for (const SampleSummary& sample : group.samples) {
    sum += sample.reward;
    squares += sample.reward * sample.reward;
    samples.push_back(ToJson(sample));
  }
  const auto count = static_cast<double>(group.samples.size());
  const double mean = sum / count;  // NaN of no samples: null
  return {{"group", group.group},
          {"phase", group.phase},
          {"step", group.step},
          {"position", group.position},
          {"task", ToJson(group.task)},
          {"prompt_tokens", group.prompt_tokens},
          {"temperature", group.temperature},
          {"right", RightSamples(group)},
          {"reward_mean", mean},
          {"reward_std", std::sqrt(std::max(0.0, squares / count - mean * mean))},
          {"samples", std::move(samples)}};
}

json ToJson(const std::vector<GroupSummary>& groups) {
  json list = json::array();
  for (const GroupSummary& group : groups) list.push_back(ToJson(group));
  return list;
}

json ToJson(const MetricTable& table) {
  json metrics = json::object();
  for (const auto& [name, values] : table.values) metrics[name] = values;
  return {{"steps", table.steps}, {"metrics", std::move(metrics)}};
}

HttpResponse JsonResponse(const json& value) {
  return {.content_type = "application/json",
          .body = value.dump(-1, ' ', false, json::error_handler_t::replace)};
}

void MakeDownload(std::string_view name, HttpResponse& response) {
  std::string plain(name);
  for (char& c : plain) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-' || c == '~';
    if (!kept) c = '-';
  }
  response.headers.emplace_back("Content-Disposition",
                                fmt::format("attachment; filename=\"{}\"", plain));
}

}  // namespace ponder
