#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/run_settings.h"
#include "app/run_timeline.h"
#include "base/status.h"
#include "learner/trainer.h"
#include "observe/run_store.h"

namespace ponder {

// The groups of a step as the learner got them, from the rows of the store in their order.
std::vector<ScoredGroup> GroupsOf(std::vector<StoredCompletion> rows);

// Makes a run's weights again: the base model or a checkpoint, and from there on the updates that
// the run made, with the groups that are in the store and nothing generated. On the build and the
// kind of processor of the run the weights are the run's to the last bit.
class Relearner {
 public:
  struct Parts {
    std::string run;            // its directory
    RunStore* store = nullptr;  // outlives the relearner
    RunTimeline timeline;
    std::vector<RunSettings> settings;  // of ReadSettings
    std::function<absl::StatusOr<std::unique_ptr<Trainer>>(const RunConfig&)> create_trainer;
    // The examples of the cold start; called where one of its updates is made again.
    std::function<absl::StatusOr<std::vector<SftExample>>(const RunConfig&)> read_examples;
  };
  explicit Relearner(Parts parts) : parts_(std::move(parts)) {}

  // Puts the trainer where the leg begins. DATA_LOSS, NOT_FOUND or FAILED_PRECONDITION where the
  // checkpoint cannot be used: the trainer is nowhere then.
  absl::Status Begin(const RunLeg& leg);
  // One update on, or over the start of the steps.
  absl::Status Advance();

  std::optional<RunPoint> Here() const { return here_; }
  // Of this point; another one may stand here after Begin and Advance.
  std::shared_ptr<Trainer> GetTrainer() const { return trainer_; }
  // What was in force when the run went on from `point`.
  const RunConfig& ConfigAt(RunPoint point) const;
  // The first update of the leg, and of those that it goes on from, that came out otherwise than
  // the run's, in words; empty: the weights of this point are the run's.
  const std::string& Difference() const { return difference_; }

 private:
  absl::Status TakeUp(const RunConfig& config);
  absl::Status Load(const RunConfig& config, RunPoint point, const std::string& path);
  absl::StatusOr<const std::vector<SftExample>*> Examples(const RunConfig& config);
  absl::Status Supervise(const RunConfig& config, int64_t update);
  absl::Status Step(const RunConfig& config, int64_t step);
  absl::StatusOr<std::map<std::string, double>> Metrics(const std::string& phase, int64_t step);
  void Compare(const std::string& what, const std::map<std::string, double>& was,
               const UpdateReport& report);

  Parts parts_;
  std::shared_ptr<Trainer> trainer_;
  const RunConfig* config_ = nullptr;  // that the trainer was created with
  std::optional<RunPoint> here_;
  const RunConfig* examples_of_ = nullptr;
  std::vector<SftExample> examples_;
  std::map<std::string, std::map<int64_t, std::map<std::string, double>>> metrics_;  // by phase
  std::string difference_;
};

}  // namespace ponder
