#include <absl/time/clock.h>
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/check.h"
#include "rollout/group_assembly.h"
#include "rollout/group_source.h"

namespace ponder {
namespace {

class LocalGroupSource : public GroupSource {
 public:
  explicit LocalGroupSource(RolloutEngine& engine) : engine_(engine) {}

  absl::StatusOr<GenerateStats> Generate(
      const std::vector<GroupRequest>& requests, int64_t version,
      const std::function<void(size_t index, Group group)>& on_group,
      const std::function<void(int64_t done, int64_t total)>& on_progress,
      const std::function<bool()>& cancelled) override {
    const absl::Time start = absl::Now();
    // Without a publication the weights are those the process started with.
    if (version_ != version) PONDER_RETURN_IF_ERROR(PublishWeights(version));
    const uint64_t first_id = std::exchange(next_id_, next_id_ + requests.size());
    GroupAssembly assembly(requests, on_group);
    absl::Status status = Run(requests, first_id, assembly, on_progress, cancelled);
    if (!status.ok()) {
      PONDER_RETURN_IF_ERROR(Withdraw(requests.size(), first_id, status));
      return status;
    }
    GenerateStats stats = assembly.Stats();
    stats.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    stats.workers = 1;
    return stats;
  }

  absl::Status PublishWeights(int64_t version) override {
    engine_.WeightsChanged(version);
    version_ = version;
    return absl::OkStatus();
  }

 private:
  absl::Status Run(const std::vector<GroupRequest>& requests, uint64_t first_id,
                   GroupAssembly& assembly,
                   const std::function<void(int64_t, int64_t)>& on_progress,
                   const std::function<bool()>& cancelled) {
    for (size_t i = 0; i < requests.size(); ++i) {
      PONDER_RETURN_IF_ERROR(engine_.Submit({.id = first_id + i,
                                             .task_id = requests[i].task.id,
                                             .seed = requests[i].seed,
                                             .prompt_ids = requests[i].prompt_ids,
                                             .sample_begin = 0,
                                             .sample_count = requests[i].completions,
                                             .sampling = requests[i].sampling}));
    }
    while (!assembly.Whole()) {
      if (cancelled && cancelled()) {
        return absl::CancelledError(
            fmt::format("generation was cancelled after {} of {} completions", assembly.Done(),
                        assembly.Total()));
      }
      PONDER_ASSIGN_OR_RETURN(const bool worked, engine_.Step());
      const int64_t before = assembly.Done();
      for (RolloutResult& result : engine_.Poll()) {
        // What another caller of this engine left behind is not ours.
        if (result.request_id < first_id || result.request_id >= first_id + requests.size())
          continue;
        assembly.Add(result.request_id - first_id, std::move(result.completion));
      }
      if (on_progress && assembly.Done() != before) on_progress(assembly.Done(), assembly.Total());
      PONDER_CHECK(worked || assembly.Whole(), "the engine is idle with completions missing");
    }
    return absl::OkStatus();
  }

  // Leaves the engine empty of these requests.
  absl::Status Withdraw(size_t requests, uint64_t first_id, const absl::Status& why) {
    for (size_t i = 0; i < requests; ++i) engine_.Cancel(first_id + i);
    const absl::StatusOr<bool> step = engine_.Step();
    engine_.Poll();
    if (step.ok()) return absl::OkStatus();
    return Annotate(
        why, fmt::format("and then the engine could not stop ({})", step.status().message()));
  }

  RolloutEngine& engine_;
  std::optional<int64_t> version_;  // what the engine was told last
  uint64_t next_id_ = 1;
};

}  // namespace

std::unique_ptr<GroupSource> CreateLocalGroupSource(RolloutEngine& engine) {
  return std::make_unique<LocalGroupSource>(engine);
}

}  // namespace ponder
