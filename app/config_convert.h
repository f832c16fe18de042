#pragma once

#include "app/config.h"
#include "learner/trainer.h"
#include "rewards/reward.h"
#include "rollout/engine.h"
#include "tasks/prompt_template.h"
#include "tasks/task_source.h"
#include "verifiers/verifier.h"

namespace ponder {

// From a run's configuration to the settings of each room.
OptimizerSettings ToOptimizerSettings(const RunConfig& config);
OptimizerSettings ToSftOptimizerSettings(const RunConfig& config, int64_t updates);
PolicyLossSettings ToLossSettings(const RunConfig& config);
absl::StatusOr<TrainerOptions> ToTrainerOptions(const RunConfig& config);
RewardSettings ToRewardSettings(const RunConfig& config);
SamplingParams ToSamplingParams(const RunConfig& config, std::vector<int32_t> stop_ids);
EngineOptions ToEngineOptions(const RunConfig& config);
TaskSourceOptions ToTaskSourceOptions(const RunConfig& config, Split split);
absl::StatusOr<PromptTemplate> ToPromptTemplate(const RunConfig& config);

}  // namespace ponder
