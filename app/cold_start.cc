#include "app/cold_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/train_phases.h"

namespace ponder {

absl::StatusOr<bool> RunColdStart(const RunConfig& config, const TrainParts& parts,
                                  RunJournal& journal, const std::vector<SftExample>& examples,
                                  int64_t done) {
  const absl::Time started = parts.clock->Now();
  const auto seconds_since = [&](absl::Time since) {
    return absl::ToDoubleSeconds(parts.clock->Now() - since);
  };
  const int64_t updates = SupervisedUpdates(config, std::ssize(examples));
  if (done == 0) {
    PONDER_RETURN_IF_ERROR(BeginSupervised(config, updates, *parts.trainer));
    parts.console->Say(fmt::format("supervised fine-tuning: {} examples, {} updates of {}",
                                   examples.size(), updates, config.sft.batch));
  }
  for (int64_t update = done + 1; update <= updates; ++update) {
    const absl::Time update_started = parts.clock->Now();
    parts.monitor->Begin("cold start", update, updates);
    const std::vector<SftExample> chosen = SupervisedBatch(config, examples, update);
    int64_t tokens = 0;
    for (const SftExample& example : chosen)
      tokens += std::ssize(example.prompt_ids) + std::ssize(example.completion_ids);
    PONDER_RETURN_IF_ERROR(parts.CheckIdle());
    PONDER_ASSIGN_OR_RETURN(UpdateReport report, parts.trainer->Supervise(chosen));
    parts.monitor->Learnt(report.policy_version, tokens);
    const double seconds = seconds_since(update_started);
    StepRecord record{.step = update,
                      .policy_version = report.policy_version,
                      .phase = kSftPhase,
                      .metrics = std::move(report.metrics)};
    record.metrics["optimizer/skipped_updates"] = static_cast<double>(report.skipped_updates);
    record.metrics["speed/learn_tokens_per_s"] =
        static_cast<double>(tokens) / std::max(seconds, 1e-9);
    record.metrics["time/learn_s"] = seconds;
    record.metrics["time/left_s"] = seconds_since(started) / static_cast<double>(update - done) *
                                    static_cast<double>(updates - update);
    parts.monitor->SetTimeLeft(record.metrics["time/left_s"]);
    if (report.skipped_updates > 0) {
      parts.monitor->Warn("update_skipped", "update skipped: " + report.skip_reason);
    }
    const std::string line = "cold start " + FormatStepLine(update, updates, record.metrics);
    PONDER_RETURN_IF_ERROR(journal.Record(std::move(record)));
    parts.console->Say(line);
    parts.console->Progress("cold start", update, updates);
    const bool due = config.run.checkpoint_every > 0 && update % config.run.checkpoint_every == 0;
    if (due || update == updates || parts.Cancelled()) {
      PONDER_RETURN_IF_ERROR(journal.Checkpoint({.phase = "sft", .step = update}));
    }
    if (parts.Cancelled() && update < updates) return false;
  }
  return true;
}

}  // namespace ponder
