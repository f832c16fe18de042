#include "app/train_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/cold_start.h"
#include "app/config_convert.h"
#include "app/held_out.h"
#include "app/run_settings.h"
#include "app/step_score.h"
#include "app/train_phases.h"
#include "base/random.h"

namespace ponder {
std::string DescribeStep(const RunConfig& config) {
  const RolloutKeys& rollout = config.rollout;
  return fmt::format(
      "{} prompts x {} completions = {} sequences, {} update{}", rollout.prompts_per_step,
      rollout.completions_per_prompt, rollout.prompts_per_step * rollout.completions_per_prompt,
      config.learner.updates_per_step, config.learner.updates_per_step == 1 ? "" : "s");
}

std::string DescribeStaleness(const RunConfig& config) {
  const int64_t steps = config.rollout.max_staleness;
  if (steps == 0) return "";
  return fmt::format(
      "up to {} later step{} {} generated beside each step; tokens of older policies weigh at most "
      "{:g} (learner.importance_cap)",
      steps, steps == 1 ? "" : "s", steps == 1 ? "is" : "are", config.learner.importance_cap);
}

std::string DescribeNumerics(const RunConfig& config) {
  if (config.machine.numerics == "exact") return "";
  return fmt::format(
      "numerics: fast; the sampler's log-probs differ from the learner's in their last digits, "
      "tokens weigh at most {:g} (learner.importance_cap), and samples cannot be replayed bit for "
      "bit",
      config.learner.importance_cap);
}

double TrainLoop::Seconds(absl::Time since) const {
  return absl::ToDoubleSeconds(parts_.clock->Now() - since);
}

absl::StatusOr<TrainSummary> TrainLoop::Run(const std::vector<SftExample>& cold_start,
                                            bool resume) {
  CheckpointName at{.phase = "", .step = 0};
  if (resume) {
    PONDER_ASSIGN_OR_RETURN(at, Resume(SupervisedUpdates(config_, std::ssize(cold_start))));
  }
  TrainSummary summary{.cancelled = true, .last_step = at.step};
  if (at.phase == "step") {
    // An interrupt may have come between a step and its evaluation.
    PONDER_ASSIGN_OR_RETURN(const int64_t evaluated, parts_.store->LastStep(kEvalPhase));
    if (evaluated < at.step && IsEvaluationDue(at.step)) {
      PONDER_ASSIGN_OR_RETURN(const bool done,
                              Evaluate(kEvalPhase, at.step, fmt::format("step {}", at.step)));
      if (!done) return summary;
    }
    first_step_ = at.step;
  } else {
    if (!cold_start.empty()) {
      if (at.phase.empty()) {
        PONDER_ASSIGN_OR_RETURN(const bool done, Evaluate(kUntrainedPhase, 0, "untrained"));
        if (!done) return summary;
      }
      PONDER_ASSIGN_OR_RETURN(const bool done,
                              RunColdStart(config_, parts_, journal_, cold_start, at.step));
      if (!done) return summary;
    }
    PONDER_RETURN_IF_ERROR(BeginReinforcement(config_, *parts_.trainer));
    PONDER_RETURN_IF_ERROR(parts_.groups->PublishWeights(parts_.trainer->PolicyVersion()));
    parts_.monitor->Learnt(parts_.trainer->PolicyVersion(), 0);
    PONDER_ASSIGN_OR_RETURN(
        const bool done,
        Evaluate(kEvalPhase, 0, cold_start.empty() ? "untrained" : "after the cold start"));
    if (!done) return summary;
    PONDER_RETURN_IF_ERROR(Checkpoint(0));
  }
  summary.last_step = first_step_;
  PONDER_ASSIGN_OR_RETURN(const bool finished, Steps(summary));
  summary.cancelled = !finished;
  return summary;
}

// A resumed run is warned as an undisturbed one, not again of what it was told before, and its
// curve goes on.
absl::Status TrainLoop::RecallSteps() {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> stored,
                          parts_.store->ReadMetrics(kTrainPhase));
  std::map<int64_t, Metrics> steps;
  for (const StoredMetric& metric : stored) steps[metric.step][metric.name] = metric.value;
  std::vector<double> rewards;
  for (const auto& [step, metrics] : steps) {
    diagnosis_.Add(step, metrics);
    if (const auto reward = metrics.find("reward/mean"); reward != metrics.end())
      rewards.push_back(reward->second);
  }
  parts_.console->SetRewards(rewards);
  return absl::OkStatus();
}

// False where it was cancelled with something left to do.
absl::StatusOr<bool> TrainLoop::Steps(TrainSummary& summary) {
  PONDER_RETURN_IF_ERROR(RecallSteps());
  started_ = parts_.clock->Now();
  StepPipeline pipeline({.groups = parts_.groups,
                         .verifier = parts_.verifier,
                         .judge = parts_.judge,
                         .clock = parts_.clock});
  begun_ = first_step_;
  versions_ = {{first_step_, parts_.trainer->PolicyVersion()}};
  PONDER_RETURN_IF_ERROR(BeginSteps(first_step_ + 1, pipeline));
  for (int64_t step = first_step_ + 1; step <= config_.run.steps; ++step) {
    PONDER_ASSIGN_OR_RETURN(bool done, Step(step, pipeline));
    if (done) {
      summary.last_step = step;
      const bool last = step == config_.run.steps;
      if (IsEvaluationDue(step)) {
        PONDER_ASSIGN_OR_RETURN(done, Evaluate(kEvalPhase, step, fmt::format("step {}", step)));
      }
      // Behind the evaluation, whose tasks would else wait for the whole step.
      if (done && !parts_.Cancelled()) PONDER_RETURN_IF_ERROR(BeginSteps(step + 1, pipeline));
      if (done && (last || (config_.run.checkpoint_every > 0 &&
                            step % config_.run.checkpoint_every == 0))) {
        PONDER_RETURN_IF_ERROR(Checkpoint(step));
      }
    }
    if (!done || parts_.Cancelled()) {
      if (summary.last_step > checkpointed_) {
        PONDER_RETURN_IF_ERROR(Checkpoint(summary.last_step));
      }
      return summary.last_step == config_.run.steps && done;
    }
  }
  return true;
}

absl::StatusOr<TrainSummary> TrainLoop::RunSupervised(const std::vector<SftExample>& examples,
                                                      bool resume) {
  CheckpointName at{.phase = "", .step = 0};
  if (resume) {
    PONDER_ASSIGN_OR_RETURN(at, Resume(SupervisedUpdates(config_, std::ssize(examples))));
  }
  PONDER_ASSIGN_OR_RETURN(const bool finished,
                          RunColdStart(config_, parts_, journal_, examples, at.step));
  PONDER_ASSIGN_OR_RETURN(const int64_t last, parts_.store->LastStep(kSftPhase));
  return TrainSummary{.cancelled = !finished, .last_step = last};
}

// Loads the newest whole checkpoint and drops the rows after it: those steps are done again, with
// the same numbers.
absl::StatusOr<CheckpointName> TrainLoop::Resume(int64_t sft_updates) {
  const std::vector<CheckpointName> names = parts_.directory->Checkpoints();
  if (names.empty()) {
    parts_.console->Say("no checkpoint yet: the run begins anew");
    PONDER_RETURN_IF_ERROR(
        NoteSettings(*parts_.store, parts_.directory->ConfigPath(), {}, config_));
    for (const char* phase : {kSftPhase, kTrainPhase, kUntrainedPhase, kEvalPhase}) {
      PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(phase, -1));
    }
    return CheckpointName{.phase = "", .step = 0};
  }
  const CheckpointName at = names.back();
  const bool rl = at.phase == "step";
  PONDER_RETURN_IF_ERROR(LoadRunCheckpoint(config_, at, parts_.directory->CheckpointPath(at),
                                           sft_updates, *parts_.trainer));
  PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(kTrainPhase, rl ? at.step : 0));
  PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(kEvalPhase, rl ? at.step : -1));
  if (!rl) PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(kSftPhase, at.step));
  PONDER_RETURN_IF_ERROR(parts_.groups->PublishWeights(parts_.trainer->PolicyVersion()));
  parts_.monitor->Learnt(parts_.trainer->PolicyVersion(), 0);
  PONDER_RETURN_IF_ERROR(NoteSettings(*parts_.store, parts_.directory->ConfigPath(), at, config_));
  if (rl) checkpointed_ = at.step;
  const std::string message = fmt::format("resumed behind checkpoint {}", at.ToString());
  parts_.console->Say(message);
  PONDER_RETURN_IF_ERROR(
      parts_.store->WriteEvent({.step = at.step, .kind = "resumed", .message = message}));
  return at;
}

absl::StatusOr<std::vector<GroupRequest>> TrainLoop::Requests(int64_t step) {
  PONDER_ASSIGN_OR_RETURN(std::vector<Task> tasks,
                          parts_.train_tasks->TasksFor(step - 1, config_.rollout.prompts_per_step));
  // The step is part of the seed: a task that comes again in a later epoch is sampled anew.
  const uint64_t seed = RandomBits(MakeRandomKey(static_cast<uint64_t>(config_.run.seed), "step"),
                                   static_cast<uint64_t>(step));
  std::vector<GroupRequest> requests;
  for (Task& task : tasks) {
    PONDER_ASSIGN_OR_RETURN(std::string prompt, parts_.prompts->Prompt(task));
    std::vector<int32_t> ids = parts_.prompts->Encode(prompt);
    requests.push_back({.task = std::move(task),
                        .prompt = std::move(prompt),
                        .prompt_ids = std::move(ids),
                        .seed = seed,
                        .completions = config_.rollout.completions_per_prompt,
                        .sampling = ToSamplingParams(config_, parts_.prompts->StopIds())});
  }
  return requests;
}

// Submits what may be under way while step `next` is not complete. Step next - 1 has published, so
// a step j begun here, j <= next + max_staleness, gets no token older than the policy behind step
// next - 1 >= j - 1 - max_staleness: OldestVersion(j).
absl::Status TrainLoop::BeginSteps(int64_t next, StepPipeline& pipeline) {
  const int64_t last = std::min(next + config_.rollout.max_staleness, config_.run.steps);
  for (; begun_ < last; ++begun_) {
    PONDER_ASSIGN_OR_RETURN(std::vector<GroupRequest> requests, Requests(begun_ + 1));
    PONDER_RETURN_IF_ERROR(
        pipeline.Begin(begun_ + 1, std::move(requests), parts_.trainer->PolicyVersion()));
  }
  return absl::OkStatus();
}

// The policy that step's update starts from is the one behind step - 1; no token of it may be older
// than the one behind step - 1 - max_staleness, or than the one that the loop began with.
int64_t TrainLoop::OldestVersion(int64_t step) const {
  return versions_.at(std::max(first_step_, step - 1 - config_.rollout.max_staleness));
}

absl::Status TrainLoop::CheckStaleness(int64_t step, const std::vector<ScoredGroup>& groups) const {
  const int64_t oldest = OldestVersion(step);
  for (const ScoredGroup& scored : groups) {
    for (const Completion& completion : scored.group.completions) {
      for (const VersionSpan& span : completion.versions) {
        if (span.version >= oldest) continue;
        return Internal(
            "step {}: completion {} of task {} has tokens of policy version {}, but with "
            "rollout.max_staleness = {} none may be older than version {}",
            step, completion.sample_index, scored.group.task.id, span.version,
            config_.rollout.max_staleness, oldest);
      }
    }
  }
  return absl::OkStatus();
}

// On the console and in the store, once a run for each kind and what it is about.
void TrainLoop::WarnOnce(const std::string& kind, const std::string& about,
                         const std::string& message) {
  if (!warned_.emplace(kind, about).second) return;
  parts_.monitor->Warn(kind, message);
}

// Whether all who sampled the step compute the learner's bits.
SamplerNumerics TrainLoop::Numerics(const GenerateStats& stats) {
  if (!stats.fingerprints_differ) return SamplerNumerics::kSame;
  const double cap = config_.learner.importance_cap;
  WarnOnce(
      "numerics_differ", "",
      fmt::format("a worker's numerics differ from the learner's: tokens of such steps weigh at "
                  "most {:g} (learner.importance_cap), and their log-probs are not the "
                  "learner's to the last bit",
                  cap > 0 ? cap : kDefaultImportanceCap));
  return SamplerNumerics::kDiffer;
}

// With the verifier's words: the metrics count them.
void TrainLoop::SayWhyDropped(const ScoredStep& scored) {
  for (const auto& [reason, words] : scored.dropped_words) {
    WarnOnce("dropped", reason, fmt::format("a completion was dropped: {}: {}", reason, words));
  }
}

absl::StatusOr<bool> TrainLoop::Step(int64_t step, StepPipeline& pipeline) {
  const absl::Time step_started = parts_.clock->Now();
  const std::string label = fmt::format("step {}/{}  generate", step, config_.run.steps);
  parts_.monitor->Begin("generating", step, config_.run.steps);
  absl::StatusOr<CollectedStep> collected = pipeline.Collect(
      step,
      [&](int64_t done, int64_t total) {
        parts_.console->Progress(label, done, total);
        if (done == total) parts_.monitor->Begin("verifying", step, config_.run.steps);
        parts_.monitor->Progress(done, total);
      },
      [&] { return parts_.Cancelled(); });
  if (!collected.ok()) {
    parts_.console->Progress("", 0, 0);
    if (absl::IsCancelled(collected.status()) && parts_.Cancelled()) return false;
    return collected.status();
  }

  ScoredStep scored =
      ScoreStep(ToRewardSettings(config_), *parts_.advantage, std::move(collected->groups));
  SayWhyDropped(scored);
  if (scored.groups.empty()) {
    return Unavailable(
        "step {}: all {} completions were dropped without a verdict; look at the verifier ({}) and "
        "resume",
        step, scored.dropped, parts_.verifier->Describe().name);
  }
  PONDER_RETURN_IF_ERROR(CheckStaleness(step, scored.groups));
  const SamplerNumerics numerics = Numerics(collected->stats);
  parts_.train_tasks->Feedback(step - 1, scored.solve_rates);

  PONDER_RETURN_IF_ERROR(RenewReference(config_, step, *parts_.trainer));
  parts_.console->Progress(fmt::format("step {}/{}  learn", step, config_.run.steps), 0, 1);
  parts_.monitor->Begin("learning", step, config_.run.steps);
  const absl::Time learn_started = parts_.clock->Now();
  PONDER_RETURN_IF_ERROR(parts_.CheckIdle());
  absl::StatusOr<UpdateReport> report = parts_.trainer->Update(scored.groups, numerics);
  parts_.console->Progress("", 0, 0);
  PONDER_RETURN_IF_ERROR(report.status());
  const double learn_s = Seconds(learn_started);
  const absl::Time publish_started = parts_.clock->Now();
  PONDER_RETURN_IF_ERROR(parts_.groups->PublishWeights(report->policy_version));
  const double publish_s = Seconds(publish_started);
  versions_[step] = report->policy_version;

  StepRecord record{.step = step,
                    .policy_version = report->policy_version,
                    .phase = kTrainPhase,
                    .metrics = std::move(scored.metrics),
                    .groups = std::move(scored.groups),
                    .clips = std::move(report->clips)};
  Metrics& metrics = record.metrics;
  metrics.insert(report->metrics.begin(), report->metrics.end());
  metrics["optimizer/skipped_updates"] = static_cast<double>(report->skipped_updates);
  metrics["rollout/reissued_leases"] = static_cast<double>(collected->stats.reissued_leases);
  metrics["rollout/workers"] = static_cast<double>(collected->stats.workers);
  // Steps that overlap are generated all the time.
  const double generating_s =
      config_.rollout.max_staleness > 0 ? Seconds(step_started) : collected->generate_s;
  metrics["speed/generate_tokens_per_s"] =
      static_cast<double>(collected->stats.completion_tokens) / std::max(generating_s, 1e-9);
  // Of what was learnt from: groups without a signal cost nothing.
  const auto targets = metrics.find("learner/target_tokens");
  const double learnt = targets == metrics.end() ? 0 : targets->second;
  if (learnt > 0) metrics["speed/learn_tokens_per_s"] = learnt / std::max(learn_s, 1e-9);
  parts_.monitor->Learnt(record.policy_version, std::llround(learnt));
  metrics["time/generate_s"] = collected->generate_s;
  metrics["time/wait_for_verdicts_s"] = collected->verdicts_s;
  metrics["time/learn_s"] = learn_s;
  metrics["time/publish_s"] = publish_s;
  metrics["time/step_s"] = Seconds(step_started);
  const double per_step = Seconds(started_) / static_cast<double>(step - first_step_);
  metrics["time/left_s"] = per_step * static_cast<double>(config_.run.steps - step);
  parts_.monitor->SetTimeLeft(metrics["time/left_s"]);
  if (report->skipped_updates > 0) {
    parts_.monitor->Warn("update_skipped", "update skipped: " + report->skip_reason);
  }
  const std::vector<Hint> hints = diagnosis_.Add(step, metrics);
  ShowSample(step, record.groups);
  const Metrics said = metrics;
  PONDER_RETURN_IF_ERROR(journal_.Record(std::move(record)));
  parts_.console->EndStep(step, config_.run.steps, said);
  for (const Hint& hint : hints) {
    parts_.monitor->Warn(hint.kind, hint.text + ". Try: " + hint.remedy);
  }
  return true;
}

// Another place in the step each time, so that right and wrong answers come up as often as they
// are.
void TrainLoop::ShowSample(int64_t step, const std::vector<ScoredGroup>& groups) {
  constexpr absl::Duration kLeastTime = absl::Seconds(5);  // to read one
  const absl::Time now = parts_.clock->Now();
  if (groups.empty() || now - sample_shown_ < kLeastTime) return;
  sample_shown_ = now;
  const ScoredGroup& scored = groups[step % groups.size()];
  const size_t i = step / groups.size() % scored.verdicts.size();
  parts_.console->ShowSample({.step = step,
                              .question = scored.group.task.question,
                              .text = scored.group.completions[i].text,
                              .status = scored.verdicts[i].status,
                              .reward = scored.rewards[i].total});
}

bool TrainLoop::IsEvaluationDue(int64_t step) const {
  return step == config_.run.steps || (config_.eval.every > 0 && step % config_.eval.every == 0);
}

// False where it was cancelled.
absl::StatusOr<bool> TrainLoop::Evaluate(const std::string& phase, int64_t step,
                                         const std::string& label) {
  if (parts_.held_out.empty()) return true;
  PONDER_ASSIGN_OR_RETURN(std::optional<StepRecord> record,
                          EvaluateHeldOut(config_, parts_, phase, step, label));
  if (!record.has_value()) return false;
  PONDER_RETURN_IF_ERROR(journal_.Record(*std::move(record)));
  return true;
}

absl::Status TrainLoop::Checkpoint(int64_t step) {
  PONDER_RETURN_IF_ERROR(journal_.Checkpoint({.phase = "step", .step = step}));
  checkpointed_ = step;
  return absl::OkStatus();
}

}  // namespace ponder
