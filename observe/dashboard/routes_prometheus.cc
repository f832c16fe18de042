#include <utility>
#include <vector>

#include "observe/dashboard/routes.h"

namespace ponder {
namespace {

absl::StatusOr<PrometheusRun> Read(RunList& runs, const ServedRun& run) {
  PONDER_ASSIGN_OR_RETURN(const ReaderPool::Loan reader, runs.OpenReader(run));
  PONDER_ASSIGN_OR_RETURN(const RunOverview overview, ReadRunState(run, *reader));
  return ReadPrometheusRun(*reader, run.id, overview.status);
}

}  // namespace

RouteAnswer PrometheusRoute(RunList& runs, PrometheusCache& cache, QueryReader& query) {
  PONDER_RETURN_IF_ERROR(query.Check());
  std::vector<PrometheusRun> all;
  for (const ServedRun& run : runs.Runs()) {
    absl::StatusOr<PrometheusRun> one = cache.Get(run, [&] { return Read(runs, run); });
    if (one.ok()) all.push_back(*std::move(one));
  }
  return HttpResponse{.content_type = kPrometheusContentType, .body = PrometheusText(all)};
}

}  // namespace ponder
