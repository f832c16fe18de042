#include "app/train_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/config_convert.h"
#include "app/evaluate.h"
#include "app/run_settings.h"
#include "app/step_score.h"
#include "app/train_phases.h"
#include "base/random.h"

namespace ponder {
namespace {

// Phases of the store.
constexpr char kSft[] = "sft";
constexpr char kTrain[] = "train";

double Mean(double sum, int64_t count) { return count == 0 ? 0 : sum / static_cast<double>(count); }

}  // namespace

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

double TrainLoop::Seconds(absl::Time since) const {
  return absl::ToDoubleSeconds(parts_.clock->Now() - since);
}

absl::StatusOr<TrainSummary> TrainLoop::Run(const std::vector<SftExample>& cold_start,
                                            bool resume) {
  started_ = parts_.clock->Now();
  CheckpointName at{.phase = "", .step = 0};
  if (resume) {
    PONDER_ASSIGN_OR_RETURN(at, Resume(SupervisedUpdates(config_, std::ssize(cold_start))));
  }
  const bool past_cold_start = at.phase == "step";
  TrainSummary summary{.cancelled = true, .last_step = at.step};
  if (!past_cold_start) {
    if (!cold_start.empty()) {
      if (at.phase.empty()) {
        PONDER_ASSIGN_OR_RETURN(const bool evaluated,
                                EvaluateHeldOut("eval/untrained", 0, "untrained"));
        if (!evaluated) return summary;
      }
      PONDER_ASSIGN_OR_RETURN(const bool finished, Supervise(cold_start, at.step));
      if (!finished) return summary;
    }
    PONDER_RETURN_IF_ERROR(BeginReinforcement(config_, *parts_.trainer));
    PONDER_RETURN_IF_ERROR(parts_.groups->PublishWeights(parts_.trainer->PolicyVersion()));
    parts_.monitor->Learnt(parts_.trainer->PolicyVersion(), 0);
    PONDER_ASSIGN_OR_RETURN(
        const bool evaluated,
        EvaluateHeldOut("eval/train", 0,
                        cold_start.empty() ? "untrained" : "after the cold start"));
    if (!evaluated) return summary;
    PONDER_RETURN_IF_ERROR(Checkpoint({.phase = "step", .step = 0}));
  }
  first_step_ = past_cold_start ? at.step : 0;
  const absl::Time loop_started = parts_.clock->Now();
  started_ = loop_started;
  summary.last_step = first_step_;
  PONDER_ASSIGN_OR_RETURN(const bool finished, Steps(summary));
  summary.cancelled = !finished;
  return summary;
}

// A resumed run is warned as an undisturbed one: not again of what it was told before.
absl::Status TrainLoop::RecallSteps() {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> stored,
                          parts_.store->ReadMetrics(kTrain));
  std::map<int64_t, Metrics> steps;
  for (const StoredMetric& metric : stored) steps[metric.step][metric.name] = metric.value;
  for (const auto& [step, metrics] : steps) diagnosis_.Add(step, metrics);
  return absl::OkStatus();
}

// False where it was cancelled with something left to do.
absl::StatusOr<bool> TrainLoop::Steps(TrainSummary& summary) {
  PONDER_RETURN_IF_ERROR(RecallSteps());
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
      if (last || (config_.eval.every > 0 && step % config_.eval.every == 0)) {
        PONDER_ASSIGN_OR_RETURN(done,
                                EvaluateHeldOut("eval/train", step, fmt::format("step {}", step)));
      }
      // Behind the evaluation, whose tasks would else wait for the whole step.
      if (done && !Cancelled()) PONDER_RETURN_IF_ERROR(BeginSteps(step + 1, pipeline));
      if (done && (last || (config_.run.checkpoint_every > 0 &&
                            step % config_.run.checkpoint_every == 0))) {
        PONDER_RETURN_IF_ERROR(Checkpoint({.phase = "step", .step = step}));
      }
    }
    if (!done || Cancelled()) {
      if (summary.last_step > checkpointed_) {
        PONDER_RETURN_IF_ERROR(Checkpoint({.phase = "step", .step = summary.last_step}));
      }
      return summary.last_step == config_.run.steps && done;
    }
  }
  return true;
}

absl::StatusOr<TrainSummary> TrainLoop::RunSupervised(const std::vector<SftExample>& examples,
                                                      bool resume) {
  started_ = parts_.clock->Now();
  CheckpointName at{.phase = "", .step = 0};
  if (resume) {
    PONDER_ASSIGN_OR_RETURN(at, Resume(SupervisedUpdates(config_, std::ssize(examples))));
  }
  PONDER_ASSIGN_OR_RETURN(const bool finished, Supervise(examples, at.step));
  PONDER_ASSIGN_OR_RETURN(const int64_t last, parts_.store->LastStep(kSft));
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
    for (const char* phase : {kSft, kTrain, "eval/untrained", "eval/train"}) {
      PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(phase, -1));
    }
    return CheckpointName{.phase = "", .step = 0};
  }
  const CheckpointName at = names.back();
  const bool rl = at.phase == "step";
  PONDER_RETURN_IF_ERROR(LoadRunCheckpoint(config_, at, parts_.directory->CheckpointPath(at),
                                           sft_updates, *parts_.trainer));
  PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(kTrain, rl ? at.step : 0));
  PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter("eval/train", rl ? at.step : -1));
  if (!rl) PONDER_RETURN_IF_ERROR(parts_.store->TruncateAfter(kSft, at.step));
  PONDER_RETURN_IF_ERROR(parts_.groups->PublishWeights(parts_.trainer->PolicyVersion()));
  parts_.monitor->Learnt(parts_.trainer->PolicyVersion(), 0);
  PONDER_RETURN_IF_ERROR(NoteSettings(*parts_.store, parts_.directory->ConfigPath(), at, config_));
  checkpointed_ = at.step;
  PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> before,
                          parts_.store->ReadMetrics(kTrain));
  std::vector<double> rewards;
  for (const StoredMetric& metric : before) {
    if (metric.name == "reward/mean") rewards.push_back(metric.value);
  }
  parts_.console->SetRewards(rewards);
  const std::string message = fmt::format("resumed behind checkpoint {}", at.ToString());
  parts_.console->Say(message);
  PONDER_RETURN_IF_ERROR(
      parts_.store->WriteEvent({.step = at.step, .kind = "resumed", .message = message}));
  return at;
}

absl::StatusOr<bool> TrainLoop::Supervise(const std::vector<SftExample>& examples, int64_t done) {
  const int64_t updates = SupervisedUpdates(config_, std::ssize(examples));
  if (done == 0) {
    PONDER_RETURN_IF_ERROR(BeginSupervised(config_, updates, *parts_.trainer));
    parts_.console->Say(fmt::format("supervised fine-tuning: {} examples, {} updates of {}",
                                    examples.size(), updates, config_.sft.batch));
  }
  for (int64_t update = done + 1; update <= updates; ++update) {
    const absl::Time step_started = parts_.clock->Now();
    parts_.monitor->Begin("cold start", update, updates);
    const std::vector<SftExample> chosen = SupervisedBatch(config_, examples, update);
    int64_t tokens = 0;
    for (const SftExample& example : chosen)
      tokens += std::ssize(example.prompt_ids) + std::ssize(example.completion_ids);
    PONDER_ASSIGN_OR_RETURN(UpdateReport report, parts_.trainer->Supervise(chosen));
    const double seconds = Seconds(step_started);
    parts_.monitor->Learnt(report.policy_version, tokens);
    StepRecord record{.step = update,
                      .policy_version = report.policy_version,
                      .phase = kSft,
                      .metrics = std::move(report.metrics)};
    record.metrics["optimizer/skipped_updates"] = static_cast<double>(report.skipped_updates);
    record.metrics["speed/learn_tokens_per_s"] =
        static_cast<double>(tokens) / std::max(seconds, 1e-9);
    record.metrics["time/learn_s"] = seconds;
    record.metrics["time/left_s"] = Seconds(started_) / static_cast<double>(update - done) *
                                    static_cast<double>(updates - update);
    parts_.monitor->SetTimeLeft(record.metrics["time/left_s"]);
    if (report.skipped_updates > 0) {
      parts_.monitor->Warn("update_skipped", "update skipped: " + report.skip_reason);
    }
    const std::string line = "cold start " + FormatStepLine(update, updates, record.metrics);
    PONDER_RETURN_IF_ERROR(Record(std::move(record)));
    parts_.console->Say(line);
    parts_.console->Progress("cold start", update, updates);
    const bool due = config_.run.checkpoint_every > 0 && update % config_.run.checkpoint_every == 0;
    if (due || update == updates || Cancelled()) {
      PONDER_RETURN_IF_ERROR(Checkpoint({.phase = "sft", .step = update}));
    }
    if (Cancelled() && update < updates) return false;
  }
  return true;
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
      [&] { return Cancelled(); });
  if (!collected.ok()) {
    parts_.console->Progress("", 0, 0);
    if (absl::IsCancelled(collected.status()) && Cancelled()) return false;
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
                    .phase = phase_,
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
  PONDER_RETURN_IF_ERROR(Record(std::move(record)));
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

absl::StatusOr<bool> TrainLoop::EvaluateHeldOut(const std::string& phase, int64_t step,
                                                const std::string& label) {
  if (parts_.held_out.empty()) return true;
  StepRecord record{
      .step = step, .policy_version = parts_.trainer->PolicyVersion(), .phase = phase};
  parts_.monitor->Begin("evaluating", step, config_.run.steps, label);
  std::string line = fmt::format("held-out tasks, {}:", label);
  struct Mode {
    const char* name;
    int64_t samples;
    float temperature;
  };
  for (const Mode& mode :
       {Mode{"greedy", 1, 0.0f},
        Mode{"sampled", config_.eval.samples, static_cast<float>(config_.eval.temperature)}}) {
    if (mode.samples == 0) continue;
    EvaluateOptions options{.samples = mode.samples,
                            .seed = static_cast<uint64_t>(config_.run.seed),
                            .sampling = ToSamplingParams(config_, parts_.prompts->StopIds())};
    options.sampling.temperature = mode.temperature;
    const std::string bar = fmt::format("evaluate {}, {}", label, mode.name);
    absl::StatusOr<Evaluation> result = Evaluate(
        parts_.held_out, *parts_.prompts, *parts_.groups, parts_.trainer->PolicyVersion(),
        *parts_.verifier, parts_.judge, options,
        [&](int64_t done, int64_t total) {
          parts_.console->Progress(bar, done, total);
          parts_.monitor->Progress(done, total);
        },
        [&] { return Cancelled(); });
    parts_.console->Progress("", 0, 0);
    if (absl::IsCancelled(result.status()) && Cancelled()) return false;
    PONDER_RETURN_IF_ERROR(result.status());
    const std::string prefix = fmt::format("eval/{}_", mode.name);
    record.metrics[prefix + "accuracy"] = result->accuracy.value;
    record.metrics[prefix + "accuracy_low"] = result->accuracy.low;
    record.metrics[prefix + "accuracy_high"] = result->accuracy.high;
    record.metrics[prefix + "format"] = result->formatted_share.value;
    record.metrics[prefix + "length"] = result->mean_length;
    record.metrics[prefix + "truncated"] =
        Mean(static_cast<double>(result->truncated), result->completions);
    record.metrics[prefix + "dropped"] = static_cast<double>(result->dropped);
    record.metrics[prefix + "s"] = result->seconds;
    line += fmt::format("  {} {:.1f} % right [{:.1f}, {:.1f}], {:.0f} % in form", mode.name,
                        100 * result->accuracy.value, 100 * result->accuracy.low,
                        100 * result->accuracy.high, 100 * result->formatted_share.value);
    for (ScoredGroup& group : result->groups) record.groups.push_back(std::move(group));
  }
  parts_.console->Say(line);
  PONDER_RETURN_IF_ERROR(Record(std::move(record)));
  return true;
}

absl::Status TrainLoop::Record(StepRecord record) {
  Metrics named;
  for (const auto& [name, value] : record.metrics) {
    named[record.phase == kTrain || name.starts_with("eval/") ? name : record.phase + "/" + name] =
        value;
  }
  if (record.phase != "eval/untrained") {  // the curve of step 0 is the trained one's
    for (MetricSink* sink : parts_.sinks) {
      PONDER_RETURN_IF_ERROR(sink->WriteStep(record.step, named));
      if (record.phase == kTrain) {
        PONDER_RETURN_IF_ERROR(sink->WriteGroups(record.step, record.groups));
      }
    }
  }
  return parts_.store->WriteStep(std::move(record));
}

absl::Status TrainLoop::Checkpoint(const CheckpointName& name) {
  if (parts_.directory == nullptr) return absl::OkStatus();
  for (MetricSink* sink : parts_.sinks) PONDER_RETURN_IF_ERROR(sink->Flush());
  // A resumed run takes the steps up to its checkpoint from the store.
  PONDER_RETURN_IF_ERROR(parts_.store->Flush());
  PONDER_RETURN_IF_ERROR(parts_.trainer->SaveCheckpoint(parts_.directory->CheckpointPath(name)));
  checkpointed_ = name.step;
  parts_.directory->PruneCheckpoints(config_.run.keep_checkpoints);
  return parts_.store->WriteEvent(
      {.step = name.step, .kind = "checkpoint", .message = name.ToString()});
}

}  // namespace ponder
