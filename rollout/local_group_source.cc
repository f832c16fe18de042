#include <algorithm>
#include <map>
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

  absl::StatusOr<BatchId> Begin(GroupBatch batch) override {
    // Without a publication the weights are those the process started with.
    if (!version_.has_value()) PONDER_RETURN_IF_ERROR(PublishWeights(batch.version));
    if (*version_ != batch.version) {
      return FailedPrecondition(
          "groups of policy version {} were asked for, but version {} is published", batch.version,
          *version_);
    }
    const BatchId id = next_id_;
    next_id_ += std::max<uint64_t>(batch.requests.size(), 1);
    const GroupAssembly& assembly = batches_.try_emplace(id, std::move(batch)).first->second;
    const std::vector<GroupRequest>& requests = assembly.Batch().requests;
    for (size_t i = 0; i < requests.size(); ++i) {
      const absl::Status status = engine_.Submit({.id = id + i,
                                                  .task_id = requests[i].task.id,
                                                  .seed = requests[i].seed,
                                                  .prompt_ids = requests[i].prompt_ids,
                                                  .sample_begin = 0,
                                                  .sample_count = requests[i].completions,
                                                  .sampling = requests[i].sampling});
      if (status.ok()) continue;
      const absl::StatusOr<GenerateStats> end = End(id);
      return end.ok() ? status : Annotate(status, std::string(end.status().message()));
    }
    return id;
  }

  std::vector<WorkerLoad> Workers() const override {
    const EngineLoad load = engine_.Load();
    const EngineCapabilities capabilities = engine_.Capabilities();
    return {{.name = "this process",
             .fingerprint = capabilities.fingerprint,
             .version = version_.value_or(0),
             .running = load.running + load.waiting,
             .capacity = capabilities.max_sequences,
             .done = done_}};
  }

  absl::StatusOr<bool> Work() override {
    bool missing = false;
    for (const auto& [id, assembly] : batches_) missing |= !assembly.Progress().Whole();
    if (!missing) return false;
    PONDER_ASSIGN_OR_RETURN(const bool worked, engine_.Step());
    std::vector<RolloutResult> results = engine_.Poll();
    PONDER_CHECK(worked || !results.empty(), "the engine is idle with completions missing");
    for (RolloutResult& result : results) {
      // Batches are called by the id of their first request. What another caller of this engine, or
      // a batch that was ended early, has left behind is nobody's.
      auto place = batches_.upper_bound(result.request_id);
      if (place == batches_.begin()) continue;
      --place;
      const size_t index = result.request_id - place->first;
      if (index >= place->second.Batch().requests.size()) continue;
      place->second.Add(index, std::move(result.completion));
      ++done_;
    }
    return true;
  }

  void Wake() override {}  // Work never waits

  BatchProgress Progress(BatchId batch) const override { return batches_.at(batch).Progress(); }

  absl::StatusOr<GenerateStats> End(BatchId batch) override {
    const auto place = batches_.find(batch);
    PONDER_CHECK(place != batches_.end());
    GenerateStats stats = place->second.Stats();
    stats.workers = 1;
    const bool whole = place->second.Progress().Whole();
    const size_t requests = place->second.Batch().requests.size();
    batches_.erase(place);
    if (whole) return stats;
    for (size_t i = 0; i < requests; ++i) engine_.Cancel(batch + i);
    if (!batches_.empty()) return stats;
    // The last one leaves the engine empty.
    const absl::StatusOr<bool> step = engine_.Step();
    engine_.Poll();
    if (step.ok()) return stats;
    return Annotate(step.status(), "the engine could not stop");
  }

  absl::Status PublishWeights(int64_t version) override {
    engine_.WeightsChanged(version);
    version_ = version;
    return absl::OkStatus();
  }

 private:
  RolloutEngine& engine_;
  std::optional<int64_t> version_;            // what the engine was told last
  std::map<BatchId, GroupAssembly> batches_;  // a batch is called by the id of its first request
  uint64_t next_id_ = 1;
  int64_t done_ = 0;  // completions handed over
};

}  // namespace

std::unique_ptr<GroupSource> CreateLocalGroupSource(RolloutEngine& engine) {
  return std::make_unique<LocalGroupSource>(engine);
}

}  // namespace ponder
