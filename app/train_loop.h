#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "app/config.h"
#include "app/run_journal.h"
#include "app/step_pipeline.h"
#include "app/step_score.h"
#include "app/train_parts.h"
#include "base/status.h"
#include "learner/trainer.h"
#include "observe/diagnosis.h"

namespace ponder {

// How a run ended.
struct TrainSummary {
  bool cancelled = false;
  int64_t last_step = 0;
};

// tasks -> groups -> verdicts -> rewards -> advantages -> update -> weights, `run.steps` times,
// with the cold start before and evaluations between. Every step's rows are in the store before the
// next is collected; `resume` goes on behind the newest checkpoint, with the same random numbers.
//
// The requests of step j are submitted as soon as step j - 1 - max_staleness has published its
// weights (at the start of the loop where there is no such step): with max_staleness = 0 a step is
// sampled by the newest policy alone, else up to max_staleness later steps are generated and judged
// beside it. What was under way when a run ended is generated anew by the resumed one.
class TrainLoop {
 public:
  TrainLoop(const RunConfig& config, TrainParts parts)
      : config_(config), parts_(std::move(parts)), journal_(config_, parts_) {}
  TrainLoop(const TrainLoop&) = delete;

  // `cold_start` holds the examples of supervised fine-tuning; empty = none.
  absl::StatusOr<TrainSummary> Run(const std::vector<SftExample>& cold_start, bool resume);

  // Supervised fine-tuning alone (`ponder sft`).
  absl::StatusOr<TrainSummary> RunSupervised(const std::vector<SftExample>& examples, bool resume);

 private:
  absl::StatusOr<CheckpointName> Resume(int64_t sft_updates);
  absl::StatusOr<bool> Steps(TrainSummary& summary);
  absl::StatusOr<bool> Step(int64_t step, StepPipeline& pipeline);
  absl::Status BeginSteps(int64_t next, StepPipeline& pipeline);
  absl::StatusOr<std::vector<GroupRequest>> Requests(int64_t step);
  int64_t OldestVersion(int64_t step) const;
  absl::Status CheckStaleness(int64_t step, const std::vector<ScoredGroup>& groups) const;
  void WarnOnce(const std::string& kind, const std::string& about, const std::string& message);
  SamplerNumerics Numerics(const GenerateStats& stats);
  void SayWhyDropped(const ScoredStep& scored);
  absl::Status RecallSteps();
  bool IsEvaluationDue(int64_t step) const;
  absl::StatusOr<bool> Evaluate(const std::string& phase, int64_t step, const std::string& label);
  void ShowSample(int64_t step, const std::vector<ScoredGroup>& groups);
  absl::Status Checkpoint(int64_t step);
  double Seconds(absl::Time since) const;

  const RunConfig config_;
  const TrainParts parts_;
  RunJournal journal_;
  absl::Time started_;  // of the steps
  int64_t first_step_ = 0;
  int64_t begun_ = 0;                    // newest step whose requests are submitted
  std::map<int64_t, int64_t> versions_;  // policy version behind a step, first_step_ and later
  absl::Time sample_shown_ = absl::InfinitePast();
  int64_t checkpointed_ = -1;                             // newest step with a checkpoint
  std::set<std::pair<std::string, std::string>> warned_;  // kinds, and what they were about
  Diagnosis diagnosis_;
};

// "32 prompts x 8 completions = 256 sequences, 1 update"
std::string DescribeStep(const RunConfig& config);
// Where steps overlap: how, and what it takes. Empty where they do not.
std::string DescribeStaleness(const RunConfig& config);
// What numerics other than exact ones cost. Empty where they are exact.
std::string DescribeNumerics(const RunConfig& config);

}  // namespace ponder
