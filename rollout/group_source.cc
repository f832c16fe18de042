#include "rollout/group_source.h"

#include <fmt/format.h>

#include <utility>

namespace ponder {

absl::StatusOr<GenerateStats> GroupSource::Generate(
    std::vector<GroupRequest> requests, int64_t version,
    std::function<void(size_t index, Group group)> on_group,
    const std::function<void(int64_t done, int64_t total)>& on_progress,
    const std::function<bool()>& cancelled) {
  PONDER_ASSIGN_OR_RETURN(const BatchId batch, Begin({.requests = std::move(requests),
                                                      .version = version,
                                                      .on_group = std::move(on_group)}));
  absl::Status status;
  BatchProgress progress = Progress(batch);
  while (status.ok() && !progress.Whole()) {
    if (cancelled && cancelled()) {
      status = absl::CancelledError(fmt::format(
          "generation was cancelled after {} of {} completions", progress.done, progress.total));
      break;
    }
    status = Work().status();
    const BatchProgress now = Progress(batch);
    if (on_progress && now.done != progress.done) on_progress(now.done, now.total);
    progress = now;
  }
  const absl::StatusOr<GenerateStats> stats = End(batch);
  if (status.ok() || stats.ok()) return status.ok() ? stats : status;
  return Annotate(status, std::string(stats.status().message()));
}

}  // namespace ponder
