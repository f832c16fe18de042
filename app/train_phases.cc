#include "app/train_phases.h"

#include <algorithm>

#include "app/config_convert.h"
#include "base/random.h"

namespace ponder {
namespace {

int64_t UpdatesPerEpoch(const RunConfig& config, int64_t examples) {
  return (examples + config.sft.batch - 1) / config.sft.batch;
}

}  // namespace

int64_t SupervisedUpdates(const RunConfig& config, int64_t examples) {
  return UpdatesPerEpoch(config, examples) * config.sft.epochs;
}

std::vector<SftExample> SupervisedBatch(const RunConfig& config,
                                        const std::vector<SftExample>& examples, int64_t update) {
  const int64_t batch = config.sft.batch, count = std::ssize(examples);
  const int64_t per_epoch = UpdatesPerEpoch(config, count);
  const int64_t epoch = (update - 1) / per_epoch;
  const std::vector<int64_t> order = RandomPermutation(
      MakeRandomKey(static_cast<uint64_t>(config.run.seed), "sft order"), epoch, count);
  const int64_t begin = (update - 1) % per_epoch * batch;
  std::vector<SftExample> chosen;
  for (int64_t i = begin; i < std::min(begin + batch, count); ++i)
    chosen.push_back(examples[order[i]]);
  return chosen;
}

absl::Status BeginSupervised(const RunConfig& config, int64_t updates, Trainer& trainer) {
  return trainer.BeginPhase(ToSftOptimizerSettings(config, updates), ToLossSettings(config));
}

absl::Status BeginReinforcement(const RunConfig& config, Trainer& trainer) {
  PONDER_RETURN_IF_ERROR(trainer.BeginPhase(ToOptimizerSettings(config), ToLossSettings(config)));
  return config.learner.kl_weight > 0 ? trainer.SetReferenceFromCurrent() : absl::OkStatus();
}

absl::Status RenewReference(const RunConfig& config, int64_t step, Trainer& trainer) {
  const LearnerKeys& learner = config.learner;
  const bool due = learner.kl_weight > 0 && learner.kl_reference_every > 0 && step > 1 &&
                   (step - 1) % learner.kl_reference_every == 0;
  return due ? trainer.SetReferenceFromCurrent() : absl::OkStatus();
}

absl::Status LoadRunCheckpoint(const RunConfig& config, const CheckpointName& name,
                               const std::string& path, int64_t updates, Trainer& trainer) {
  // A checkpoint holds moments and counters; the settings are the configuration's.
  const bool supervised = name.phase == "sft";
  PONDER_RETURN_IF_ERROR(trainer.BeginPhase(
      supervised ? ToSftOptimizerSettings(config, updates) : ToOptimizerSettings(config),
      ToLossSettings(config)));
  return trainer.LoadCheckpoint(path);
}

}  // namespace ponder
