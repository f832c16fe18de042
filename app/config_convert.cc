#include "app/config_convert.h"

#include <algorithm>

#include "app/session.h"
#include "base/check.h"

namespace ponder {

OptimizerSettings ToOptimizerSettings(const RunConfig& config) {
  const OptimizerKeys& keys = config.optimizer;
  return {.learning_rate = keys.learning_rate,
          .beta1 = keys.beta1,
          .beta2 = keys.beta2,
          .epsilon = keys.epsilon,
          .weight_decay = keys.weight_decay,
          .max_gradient_norm = keys.max_gradient_norm,
          .warmup_updates = keys.warmup_updates,
          .schedule = keys.schedule,
          .total_updates = config.run.steps * config.learner.updates_per_step};
}

OptimizerSettings ToSftOptimizerSettings(const RunConfig& config, int64_t updates) {
  OptimizerSettings settings = ToOptimizerSettings(config);
  settings.learning_rate = config.sft.learning_rate;
  settings.warmup_updates = config.sft.warmup_updates;
  settings.schedule = config.sft.schedule;
  settings.total_updates = updates;
  return settings;
}

PolicyLossSettings ToLossSettings(const RunConfig& config) {
  const LearnerKeys& keys = config.learner;
  return {.aggregation = keys.aggregation,
          .clip_low = keys.clip_low,
          .clip_high = keys.clip_high,
          .kl_weight = keys.kl_weight,
          .importance_cap = keys.importance_cap};
}

absl::StatusOr<TrainerOptions> ToTrainerOptions(const RunConfig& config) {
  PONDER_ASSIGN_OR_RETURN(const kernels::DType dtype, ParseDType(config.model.dtype));
  TrainerOptions options;
  options.model_directory = config.model.directory;
  options.dtype = dtype;
  options.loss = ToLossSettings(config);
  options.optimizer = ToOptimizerSettings(config);
  options.moments = config.optimizer.moments == "8bit" ? Moments::k8Bit : Moments::kF32;
  options.offload = config.optimizer.offload;
  options.micro_batch_tokens = config.learner.micro_batch_tokens;
  options.keep = config.learner.recompute_layers ? Keep::kLayerInputs : Keep::kAll;
  options.updates_per_step = config.learner.updates_per_step;
  options.max_new_tokens = config.rollout.max_new_tokens;
  options.max_bad_updates = config.learner.max_bad_updates;
  return options;
}

RewardSettings ToRewardSettings(const RunConfig& config) {
  const RewardKeys& keys = config.reward;
  const int64_t limit = config.rollout.max_new_tokens;
  RewardSettings settings{.correct_weight = keys.correct,
                          .part_weights = {{"format", keys.format}},
                          .truncated_penalty = keys.truncated_penalty,
                          .r1_format_weight = keys.r1_format,
                          .language_weight = keys.language.weight,
                          .overlong_weight = keys.overlong.weight,
                          .overlong_buffer = keys.overlong.tokens > 0
                                                 ? keys.overlong.tokens
                                                 : std::max<int64_t>(limit / 5, 1),
                          .repetition_weight = keys.repetition.weight,
                          .repetition_ngram = keys.repetition.ngram,
                          .cosine_weight = keys.cosine.weight,
                          .cosine = {.correct_short = keys.cosine.correct_short,
                                     .correct_long = keys.cosine.correct_long,
                                     .wrong_short = keys.cosine.wrong_short,
                                     .wrong_long = keys.cosine.wrong_long,
                                     .exceeded = keys.cosine.exceeded},
                          .max_new_tokens = limit,
                          .gates = keys.gates};
  absl::StatusOr<LanguageShare> language = LanguageShare::Create(keys.language.target);
  PONDER_CHECK(language.ok(), "CheckConfig has looked at the language");
  settings.language = *std::move(language);
  for (const auto& [name, added] : config.verifiers) {
    if (added.role == "part") settings.part_weights[name] = added.weight;
  }
  return settings;
}

SamplingParams ToSamplingParams(const RunConfig& config, std::vector<int32_t> stop_ids) {
  const RolloutKeys& keys = config.rollout;
  return {.temperature = static_cast<float>(keys.temperature),
          .top_p = static_cast<float>(keys.top_p),
          .top_k = keys.top_k,
          .max_new_tokens = keys.max_new_tokens,
          .stop_ids = std::move(stop_ids)};
}

EngineOptions ToEngineOptions(const RunConfig& config) {
  return {.max_sequences = config.rollout.max_sequences,
          .max_step_tokens = config.rollout.max_step_tokens,
          .cache_tokens = config.rollout.cache_tokens};
}

absl::StatusOr<PromptTemplate> ToPromptTemplate(const RunConfig& config) {
  const PromptKeys& keys = config.prompt;
  if (keys.template_name != "custom") return FindPromptTemplate(keys.template_name);
  return PromptTemplate{.name = "custom",
                        .system = keys.custom.system,
                        .user = keys.custom.user,
                        .answer_prefix = keys.custom.answer_prefix,
                        .solution = keys.custom.solution,
                        .plain = !keys.custom.chat};
}

TaskSourceOptions ToTaskSourceOptions(const RunConfig& config, Split split) {
  const TaskKeys& keys = config.tasks;
  TaskSourceOptions options;
  options.kind = keys.kind;
  options.arithmetic = {.form = keys.arithmetic.form,
                        .low = keys.arithmetic.low,
                        .high = keys.arithmetic.high,
                        .factor_low = keys.arithmetic.factor_low,
                        .factor_high = keys.arithmetic.factor_high};
  options.countdown = {.numbers = keys.countdown.numbers,
                       .low = keys.countdown.low,
                       .high = keys.countdown.high,
                       .target_high = keys.countdown.target_high};
  options.path = keys.file.path;
  options.question_field = keys.file.question_field;
  options.gold_field = keys.file.gold_field;
  options.id_field = keys.file.id_field;
  options.solution_field = keys.file.solution_field;
  options.gold_after = keys.file.gold_after;
  options.verifier = keys.file.verifier;
  options.seed = static_cast<uint64_t>(keys.seed);
  options.split = split;
  options.held_out_share = keys.held_out_share;
  if (keys.kind == "file" && !keys.file.held_out_path.empty()) {
    // A file of its own holds the held-out tasks: all of it, and all of `path` is for training.
    if (split == Split::kHeldOut) options.path = keys.file.held_out_path;
    options.split = Split::kTrain;
    options.held_out_share = 0;
  }
  return options;
}

}  // namespace ponder
