#include "observe/dashboard/dashboard.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "observe/dashboard/assets.h"
#include "observe/dashboard/routes.h"

namespace ponder {
namespace {

struct NamedRoute {
  std::string_view name;
  RouteAnswer (*route)(const RunRequest&);
};

constexpr NamedRoute kRunRoutes[] = {
    {"state", StateRoute},
    {"metrics", MetricsRoute},
    {"events", EventsRoute},
    {"steps", StepsRoute},
    {"groups", GroupsRoute},
    {"samples", SamplesRoute},
    {"task", TaskRoute},
    {"why", WhyRoute},
    {"hints", HintsRoute},
    {"config", ConfigRoute},
    {"system", SystemRoute},
    {"export.csv", ExportCsvRoute},
    {"export.json", ExportJsonRoute},
    {"chart.svg", ChartRoute},
};

// "/api/runs" is {"api", "runs"}.
std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    segments.push_back(path.substr(0, path.find('/')));
    path.remove_prefix(segments.back().size());
  }
  return segments;
}

class RunDashboard : public Dashboard {
 public:
  explicit RunDashboard(std::vector<std::string> folders) : runs_(std::move(folders)) {}

  HttpResponse Answer(const HttpRequest& request) override {
    const std::vector<std::string_view> parts = Segments(request.path);
    if (request.path == "/") return AssetResponse("index.html", request);
    if (parts.size() == 2 && parts[0] == "assets") return AssetResponse(parts[1], request);
    if (request.path == "/healthz") return {.body = "ok\n"};
    if (parts[0] == "api" || request.path == "/metrics") {
      RouteAnswer answer = AnswerData(parts, request);
      return answer.ok() ? *std::move(answer) : HttpError(answer.status());
    }
    return HttpError(404, fmt::format("there is nothing at {}", request.path));
  }

 private:
  RouteAnswer AnswerData(const std::vector<std::string_view>& parts, const HttpRequest& request) {
    QueryReader query(request.query);
    const auto nothing = [&] { return NotFound("there is nothing at {}", request.path); };
    if (request.path == "/metrics") return PrometheusRoute(runs_, prometheus_, query);
    if (parts.size() == 2 && parts[1] == "runs") return RunsRoute(runs_, overviews_, query);
    if (parts.size() == 2 && parts[1] == "compare") return CompareRoute(runs_, query);
    if (parts.size() < 4 || parts.size() > 5 || parts[1] != "runs") return nothing();
    PONDER_ASSIGN_OR_RETURN(const ServedRun run, runs_.Find(parts[2]));
    PONDER_ASSIGN_OR_RETURN(const ReaderPool::Loan reader, runs_.OpenReader(run));
    const RunRequest of_run{run, *reader, query, vocabularies_};
    if (parts.size() == 5) return parts[3] == "sample" ? SampleRoute(of_run, parts[4]) : nothing();
    const auto* const found =
        std::find_if(std::begin(kRunRoutes), std::end(kRunRoutes),
                     [&](const NamedRoute& route) { return route.name == parts[3]; });
    return found == std::end(kRunRoutes) ? nothing() : found->route(of_run);
  }

  RunList runs_;
  ChangeCache<RunOverview> overviews_;
  PrometheusCache prometheus_;
  Vocabularies vocabularies_;
};

}  // namespace

std::unique_ptr<Dashboard> Dashboard::Create(std::vector<std::string> folders) {
  return std::make_unique<RunDashboard>(std::move(folders));
}

absl::StatusOr<std::unique_ptr<HttpServer>> StartDashboard(std::vector<std::string> folders,
                                                           HttpServerOptions options) {
  const std::shared_ptr<Dashboard> dashboard = Dashboard::Create(std::move(folders));
  return HttpServer::Start(std::move(options), [dashboard](const HttpRequest& request) {
    return dashboard->Answer(request);
  });
}

}  // namespace ponder
