// What changes from step to step: metrics, events, and the curves as files.
#include <cmath>
#include <utility>

#include "observe/curve_svg.h"
#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kAnyStep = int64_t{1} << 53;
constexpr size_t kMostNames = 200;
constexpr size_t kMostCurves = 8;

std::string PhaseOf(QueryReader& query) {
  const std::string phase = query.Text("phase");
  return phase.empty() ? "train" : phase;
}

absl::StatusOr<MetricTable> WholeTable(const RunRequest& request, const std::string& phase) {
  PONDER_RETURN_IF_ERROR(request.query.Check());
  return request.reader.Metrics(phase, -1, {});
}

// A cell of a table of comma-separated values.
std::string Cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

RouteAnswer MetricsRoute(const RunRequest& request) {
  const std::string phase = PhaseOf(request.query);
  const int64_t after = request.query.Integer("after", -1, kAnyStep).value_or(-1);
  const std::vector<std::string> names = request.query.List("names", kMostNames);
  PONDER_RETURN_IF_ERROR(request.query.Check());
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, request.reader.Metrics(phase, after, names));
  json answer = ToJson(table);
  answer["phase"] = phase;
  return JsonResponse(answer);
}

RouteAnswer EventsRoute(const RunRequest& request) {
  const int64_t after = request.query.Integer("after", 0, kAnyStep).value_or(0);
  PONDER_RETURN_IF_ERROR(request.query.Check());
  PONDER_ASSIGN_OR_RETURN(const std::vector<TimedEvent> events, request.reader.Events(after));
  json list = json::array();
  for (const TimedEvent& event : events) {
    list.push_back({{"id", event.id},
                    {"step", event.event.step},
                    {"kind", event.event.kind},
                    {"message", event.event.message},
                    {"at", event.written_at}});
  }
  return JsonResponse({{"events", std::move(list)}});
}

RouteAnswer StepsRoute(const RunRequest& request) {
  PONDER_RETURN_IF_ERROR(request.query.Check());
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, request.reader.Steps());
  json list = json::array();
  for (const StepInfo& step : steps) {
    list.push_back({{"phase", step.phase},
                    {"step", step.step},
                    {"policy_version", step.policy_version},
                    {"at", step.written_at}});
  }
  return JsonResponse({{"steps", std::move(list)}});
}

RouteAnswer ExportCsvRoute(const RunRequest& request) {
  const std::string phase = PhaseOf(request.query);
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, WholeTable(request, phase));
  HttpResponse response{.content_type = "text/csv; charset=utf-8", .body = "step"};
  for (const auto& [name, values] : table.values) response.body += "," + Cell(name);
  response.body += "\n";
  for (size_t i = 0; i < table.steps.size(); ++i) {
    response.body += std::to_string(table.steps[i]);
    for (const auto& [name, values] : table.values) {
      response.body += std::isnan(values[i]) ? "," : fmt::format(",{}", values[i]);
    }
    response.body += "\n";
  }
  MakeDownload(fmt::format("{}-{}.csv", request.run.id, phase), response);
  return response;
}

RouteAnswer ExportJsonRoute(const RunRequest& request) {
  const std::string phase = PhaseOf(request.query);
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, WholeTable(request, phase));
  json answer = ToJson(table);
  answer["phase"] = phase;
  HttpResponse response = JsonResponse(answer);
  MakeDownload(fmt::format("{}-{}.json", request.run.id, phase), response);
  return response;
}

RouteAnswer ChartRoute(const RunRequest& request) {
  const std::string phase = PhaseOf(request.query);
  const std::vector<std::string> names = request.query.List("names", kMostCurves);
  const std::string title = request.query.Text("title");
  PONDER_RETURN_IF_ERROR(request.query.Check());
  if (names.empty()) return InvalidArgument("names: expected the metrics to draw");
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, request.reader.Metrics(phase, -1, names));
  CurvePlot plot{.title = title.empty() ? request.run.name : title};
  for (const std::string& name : names) {
    const auto values = table.values.find(name);
    if (values == table.values.end()) {
      return NotFound("phase \"{}\" of the run has no metric \"{}\"", phase, name);
    }
    Curve curve{.label = name};
    for (size_t i = 0; i < table.steps.size(); ++i) {
      curve.points.push_back({static_cast<double>(table.steps[i]), values->second[i]});
    }
    plot.curves.push_back(std::move(curve));
  }
  HttpResponse response{.content_type = "image/svg+xml", .body = RenderCurveSvg(plot)};
  MakeDownload(fmt::format("{}-{}.svg", request.run.id, names.front()), response);
  return response;
}

}  // namespace ponder
