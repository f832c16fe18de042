#pragma once

#include <functional>
#include <vector>

#include "app/judge.h"
#include "app/prompt_builder.h"
#include "app/run_directory.h"
#include "app/run_monitor.h"
#include "base/clock.h"
#include "base/status.h"
#include "learner/trainer.h"
#include "observe/console.h"
#include "observe/metric_sink.h"
#include "observe/run_store.h"
#include "rewards/advantage.h"
#include "rollout/engine.h"
#include "rollout/group_source.h"
#include "tasks/task_source.h"
#include "verifiers/verifier.h"

namespace ponder {

// What a run is made of. All outlive the loop; each has a fake, so the loop runs whole in a test.
struct TrainParts {
  TaskSource* train_tasks = nullptr;
  std::vector<Task> held_out;  // for evaluation; may be empty
  const PromptBuilder* prompts = nullptr;
  GroupSource* groups = nullptr;
  Verifier* verifier = nullptr;
  AdvantageEstimator* advantage = nullptr;
  Trainer* trainer = nullptr;
  // The engine whose cache an update overwrites, where they share memory (app/run_memory.h).
  const RolloutEngine* shares_memory = nullptr;
  RunStore* store = nullptr;
  RunMonitor* monitor = nullptr;
  std::vector<MetricSink*> sinks;
  Console* console = nullptr;
  RunDirectory* directory = nullptr;  // null: no checkpoints
  Clock* clock = nullptr;
  JudgeOptions judge;
  std::function<bool()> cancelled;  // Ctrl-C

  bool Cancelled() const { return cancelled && cancelled(); }

  // Before each update: INTERNAL where a completion under way would lose its keys and values.
  absl::Status CheckIdle() const {
    if (shares_memory == nullptr) return absl::OkStatus();
    const EngineLoad load = shares_memory->Load();
    if (load.running + load.waiting == 0) return absl::OkStatus();
    return Internal(
        "an update takes the memory of the cache, but {} completions are running and {} are "
        "waiting; expected none",
        load.running, load.waiting);
  }
};

// Phases of the store.
inline constexpr char kSftPhase[] = "sft";
inline constexpr char kTrainPhase[] = "train";
inline constexpr char kUntrainedPhase[] = "eval/untrained";
inline constexpr char kEvalPhase[] = "eval/train";

}  // namespace ponder
