#pragma once

#include <string_view>

#include "base/status.h"
#include "observe/dashboard/change_cache.h"
#include "observe/dashboard/query_reader.h"
#include "observe/dashboard/run_list.h"
#include "observe/dashboard/run_overview.h"
#include "observe/dashboard/vocabularies.h"
#include "observe/http_message.h"
#include "observe/prometheus.h"

namespace ponder {

// What the addresses below /api/ answer; each in JSON where nothing else is said. A status becomes
// an error as HttpError has it.
using RouteAnswer = absl::StatusOr<HttpResponse>;

// Those of one run: /api/runs/RUN/<name>.
struct RunRequest {
  const ServedRun& run;
  RunReader& reader;
  QueryReader& query;
  Vocabularies& vocabularies;
};

// routes_curves.cc
RouteAnswer MetricsRoute(const RunRequest& request);
RouteAnswer EventsRoute(const RunRequest& request);
RouteAnswer StepsRoute(const RunRequest& request);
RouteAnswer ExportCsvRoute(const RunRequest& request);
RouteAnswer ExportJsonRoute(const RunRequest& request);
RouteAnswer ChartRoute(const RunRequest& request);

// routes_samples.cc
RouteAnswer GroupsRoute(const RunRequest& request);
RouteAnswer SamplesRoute(const RunRequest& request);
RouteAnswer TaskRoute(const RunRequest& request);

// routes_sample.cc: /api/runs/RUN/sample/SAMPLE
RouteAnswer SampleRoute(const RunRequest& request, std::string_view sample);

// routes_why.cc
RouteAnswer WhyRoute(const RunRequest& request);

// routes_hints.cc
RouteAnswer HintsRoute(const RunRequest& request);

// routes_settings.cc
RouteAnswer ConfigRoute(const RunRequest& request);
RouteAnswer CompareRoute(RunList& runs, QueryReader& query);

// routes_system.cc
RouteAnswer RunsRoute(RunList& runs, ChangeCache<RunOverview>& overviews, QueryReader& query);
RouteAnswer StateRoute(const RunRequest& request);
RouteAnswer SystemRoute(const RunRequest& request);

// routes_prometheus.cc: /metrics, in Prometheus' format; runs that cannot be read are left out.
using PrometheusCache = ChangeCache<PrometheusRun>;
RouteAnswer PrometheusRoute(RunList& runs, PrometheusCache& cache, QueryReader& query);

}  // namespace ponder
