#include "app/run_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "verifiers/item_json.h"

namespace ponder {
namespace {

using nlohmann::json;

std::string Cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

json Number(double value) { return std::isfinite(value) ? json(value) : json(); }

template <typename T>
json Numbers(const std::vector<T>& values) {
  json out = json::array();
  for (const T value : values) out.push_back(Number(value));
  return out;
}

struct PhaseTable {
  std::vector<StepInfo> steps;
  MetricTable metrics;  // a row for each of `steps`
};

// Phases in the order of their first steps.
absl::StatusOr<std::vector<std::string>> PhasesOf(RunReader& reader) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  std::vector<std::string> phases;
  for (const StepInfo& step : steps) {
    if (std::ranges::find(phases, step.phase) == phases.end()) phases.push_back(step.phase);
  }
  return phases;
}

absl::StatusOr<PhaseTable> ReadPhase(RunReader& reader, const std::string& phase) {
  PhaseTable table;
  // A run that is under way may have a step more by now.
  PONDER_ASSIGN_OR_RETURN(table.metrics, reader.Metrics(phase, -1, {}));
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  for (const StepInfo& step : steps) {
    if (step.phase == phase) table.steps.push_back(step);
  }
  std::ranges::sort(table.steps, {}, &StepInfo::step);
  table.steps.resize(std::min(table.steps.size(), table.metrics.steps.size()));
  return table;
}

}  // namespace

absl::Status ExportMetricsCsv(RunReader& reader, const TextSink& sink) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::string> phases, PhasesOf(reader));
  std::vector<PhaseTable> tables;
  std::set<std::string> names;
  for (const std::string& phase : phases) {
    PONDER_ASSIGN_OR_RETURN(PhaseTable table, ReadPhase(reader, phase));
    for (const auto& [name, values] : table.metrics.values) names.insert(name);
    tables.push_back(std::move(table));
  }
  std::string line = "phase,step,written_at";
  for (const std::string& name : names) line += "," + Cell(name);
  PONDER_RETURN_IF_ERROR(sink(line + "\n"));
  for (const PhaseTable& table : tables) {
    for (size_t i = 0; i < table.steps.size(); ++i) {
      const StepInfo& step = table.steps[i];
      line = fmt::format("{},{},{}", Cell(step.phase), step.step, step.written_at);
      for (const std::string& name : names) {
        const auto found = table.metrics.values.find(name);
        const bool has = found != table.metrics.values.end() && !std::isnan(found->second[i]);
        line += has ? fmt::format(",{}", found->second[i]) : ",";
      }
      PONDER_RETURN_IF_ERROR(sink(line + "\n"));
    }
  }
  return absl::OkStatus();
}

absl::Status ExportMetricsJson(RunReader& reader, const TextSink& sink) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::string> phases, PhasesOf(reader));
  for (const std::string& phase : phases) {
    PONDER_ASSIGN_OR_RETURN(const PhaseTable table, ReadPhase(reader, phase));
    for (size_t i = 0; i < table.steps.size(); ++i) {
      const StepInfo& step = table.steps[i];
      json metrics = json::object();
      for (const auto& [name, values] : table.metrics.values) {
        if (!std::isnan(values[i])) metrics[name] = Number(values[i]);
      }
      PONDER_RETURN_IF_ERROR(sink(Dump({{"phase", step.phase},
                                        {"step", step.step},
                                        {"policy_version", step.policy_version},
                                        {"written_at", step.written_at},
                                        {"metrics", std::move(metrics)}}) +
                                  "\n"));
    }
  }
  return absl::OkStatus();
}

absl::Status ExportCompletions(RunReader& reader, bool tokens, const TextSink& sink) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  for (const StepInfo& step : steps) {
    PONDER_ASSIGN_OR_RETURN(const std::vector<GroupSummary> groups,
                            reader.Groups(step.phase, step.step));
    for (const GroupSummary& group : groups) {
      for (const SampleSummary& sample : group.samples) {
        PONDER_ASSIGN_OR_RETURN(const StoredCompletion stored,
                                reader.ReadCompletion(sample.sample));
        PONDER_RETURN_IF_ERROR(sink(CompletionJson(stored, tokens) + "\n"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ExportEvents(RunReader& reader, const TextSink& sink) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<TimedEvent> events, reader.Events(0));
  for (const TimedEvent& event : events) {
    PONDER_RETURN_IF_ERROR(sink(Dump({{"id", event.id},
                                      {"step", event.event.step},
                                      {"kind", event.event.kind},
                                      {"message", event.event.message},
                                      {"written_at", event.written_at}}) +
                                "\n"));
  }
  return absl::OkStatus();
}

std::string CompletionJson(const StoredCompletion& stored, bool tokens) {
  const Completion& completion = stored.completion;
  json versions = json::array();
  for (const VersionSpan& span : completion.versions) {
    versions.push_back({{"begin", span.begin}, {"version", span.version}});
  }
  json out = {{"sample", stored.rowid},
              {"phase", stored.phase},
              {"step", stored.step},
              {"task",
               {{"id", stored.task.id},
                {"kind", stored.task.kind},
                {"source", stored.task.source},
                {"question", stored.task.question},
                {"gold", stored.task.gold}}},
              {"index", completion.sample_index},
              {"prompt", stored.prompt},
              {"seed", std::to_string(stored.seed)},  // more than a number of JSON holds
              {"temperature", stored.temperature},
              {"text", completion.text},
              {"finish", ToString(completion.finish)},
              {"tokens", completion.token_ids.size()},
              {"versions", std::move(versions)},
              {"verdict", ToJson(stored.verdict)},
              {"reward", {{"total", Number(stored.reward.total)}, {"parts", stored.reward.parts}}},
              {"advantage", Number(stored.advantage)}};
  if (tokens) {
    out["prompt_ids"] = stored.prompt_ids;
    out["token_ids"] = completion.token_ids;
    out["sampled"] = Numbers(completion.sampled_mask);
    out["logprobs"] = Numbers(completion.logprobs);
    out["entropies"] = Numbers(completion.entropies);
    out["clips"] = Numbers(stored.clips);
  }
  return Dump(out);
}

}  // namespace ponder
