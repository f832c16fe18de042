#pragma once

#include <functional>
#include <vector>

#include "base/check.h"
#include "learner/trainer.h"

namespace ponder {

// A trainer without a model, for tests of the loop: counts what it is given.
class FakeTrainer : public Trainer {
 public:
  // What an update reports; metrics may be empty.
  std::function<absl::StatusOr<UpdateReport>(std::span<const ScoredGroup>)> on_update;
  std::vector<std::vector<ScoredGroup>> updates;
  std::vector<SamplerNumerics> numerics;  // of each update
  std::vector<int64_t> supervised;        // examples of each call
  std::vector<std::string> saved, loaded;
  int64_t phases = 0;
  int64_t version = 0;

  const Weights& GetWeights() const override {
    PONDER_CHECK(false, "a fake trainer has no weights");
    std::abort();
  }
  int64_t PolicyVersion() const override { return version; }
  absl::StatusOr<UpdateReport> Update(std::span<const ScoredGroup> groups,
                                      SamplerNumerics sampler_numerics) override {
    updates.emplace_back(groups.begin(), groups.end());
    numerics.push_back(sampler_numerics);
    if (on_update) {
      absl::StatusOr<UpdateReport> report = on_update(groups);
      if (report.ok()) version = report->policy_version;
      return report;
    }
    return UpdateReport{.policy_version = ++version};
  }
  absl::StatusOr<UpdateReport> Supervise(std::span<const SftExample> examples) override {
    supervised.push_back(static_cast<int64_t>(examples.size()));
    return UpdateReport{.policy_version = ++version};
  }
  absl::Status BeginPhase(const OptimizerSettings&, const PolicyLossSettings&) override {
    ++phases;
    return absl::OkStatus();
  }
  absl::Status SetReferenceFromCurrent() override { return absl::OkStatus(); }
  absl::Status SaveCheckpoint(const std::string& directory) override {
    saved.push_back(directory);
    return absl::OkStatus();
  }
  absl::Status LoadCheckpoint(const std::string& directory) override {
    loaded.push_back(directory);
    return absl::OkStatus();
  }
};

}  // namespace ponder
