// Settings of runs, and how runs differ in them and in what they reached.
#include <set>
#include <utility>

#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"
#include "observe/settings_file.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr size_t kFewestCompared = 2;
constexpr size_t kMostCompared = 6;

json ToJson(const std::vector<SettingDifference>& differences) {
  json list = json::array();
  for (const SettingDifference& setting : differences) {
    json values = json::array();
    for (const auto& value : setting.values) values.push_back(value ? json(*value) : json());
    list.push_back({{"key", setting.key}, {"values", std::move(values)}});
  }
  return list;
}

absl::Status AddEvaluations(const ServedRun& run, RunReader& reader, json& evaluations) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  std::set<std::string> phases;
  for (const StepInfo& step : steps) {
    if (step.phase.starts_with("eval/")) phases.insert(step.phase);
  }
  for (const std::string& phase : phases) {
    PONDER_ASSIGN_OR_RETURN(const MetricTable table, reader.Metrics(phase, -1, {}));
    for (size_t i = 0; i < table.steps.size(); ++i) {
      json metrics = json::object();
      for (const auto& [name, values] : table.values) metrics[name] = values[i];
      evaluations.push_back({{"run", run.id},
                             {"phase", phase},
                             {"step", table.steps[i]},
                             {"metrics", std::move(metrics)}});
    }
  }
  return absl::OkStatus();
}

}  // namespace

RouteAnswer ConfigRoute(const RunRequest& request) {
  PONDER_RETURN_IF_ERROR(request.query.Check());
  PONDER_ASSIGN_OR_RETURN(const SettingsFile settings, ReadSettingsFile(request.run.path));
  return JsonResponse({{"toml", settings.toml}, {"keys", settings.keys}});
}

RouteAnswer CompareRoute(RunList& runs, QueryReader& query) {
  const std::vector<std::string> ids = query.List("runs", kMostCompared);
  PONDER_RETURN_IF_ERROR(query.Check());
  if (ids.size() < kFewestCompared) {
    return InvalidArgument("runs: expected {} to {} runs to compare, found {}", kFewestCompared,
                           kMostCompared, ids.size());
  }
  json list = json::array();
  json evaluations = json::array();
  std::vector<SettingsFile> settings;
  for (const std::string& id : ids) {
    PONDER_ASSIGN_OR_RETURN(const ServedRun run, runs.Find(id));
    PONDER_ASSIGN_OR_RETURN(const ReaderPool::Loan reader, runs.OpenReader(run));
    PONDER_ASSIGN_OR_RETURN(const RunOverview overview, ReadRunState(run, *reader));
    list.push_back({{"id", run.id},
                    {"name", run.name},
                    {"status", overview.status},
                    {"last_step", overview.last_step}});
    PONDER_RETURN_IF_ERROR(AddEvaluations(run, *reader, evaluations));
    // A run without a configuration that can be read still has curves to compare.
    absl::StatusOr<SettingsFile> file = ReadSettingsFile(run.path);
    list.back()["settings_fault"] = std::string(file.status().message());
    settings.push_back(std::move(file).value_or(SettingsFile()));
  }
  return JsonResponse({{"runs", std::move(list)},
                       {"settings", ToJson(SettingDifferences(settings))},
                       {"evaluations", std::move(evaluations)}});
}

}  // namespace ponder
