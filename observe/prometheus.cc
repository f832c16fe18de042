#include "observe/prometheus.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace ponder {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

std::string Escape(std::string_view text, bool is_label) {
  std::string escaped;
  for (const char c : ToValidUtf8(text)) {
    if (c == '\\') {
      escaped += "\\\\";
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '"' && is_label) {
      escaped += "\\\"";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

// Families by name, each with its series: a format that wants them together.
class Exposition {
 public:
  void Gauge(const std::string& name, const std::string& help, const Labels& labels, double value) {
    Add(name, "gauge", help, labels, value);
  }
  void Counter(const std::string& name, const std::string& help, const Labels& labels,
               double value) {
    Add(name, "counter", help, labels, value);
  }

  std::string Text() const {
    std::string text;
    for (const auto& [name, family] : families_) {
      text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, Escape(family.help, false), name,
                          family.type);
      for (const auto& [labels, value] : family.series) {
        text += fmt::format("{}{} {}\n", name, labels, Number(value));
      }
    }
    return text;
  }

 private:
  struct Family {
    std::string_view type;
    std::string help;
    std::map<std::string, double> series;  // by labels, as they are written
  };

  // Two metrics may come to the same name: the first is it.
  void Add(const std::string& name, std::string_view type, const std::string& help,
           const Labels& labels, double value) {
    Family& family = families_.try_emplace(name, Family{type, help, {}}).first->second;
    if (family.type != type) return;
    std::string text;
    for (const auto& [label, of_label] : labels) {
      text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", label, Escape(of_label, true));
    }
    family.series.try_emplace(text.empty() ? "" : "{" + text + "}", value);
  }

  std::map<std::string, Family> families_;
};

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// "time/generate_s" -> "time_generate_seconds"
std::string SafeName(std::string_view name) {
  std::string safe(name);
  for (char& c : safe) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!good) c = '_';
  }
  if (safe.ends_with("_s"))
    return safe.substr(0, safe.size() - 1) + (safe.ends_with("per_s") ? "second" : "seconds");
  // Such a name is a counter's by convention.
  if (safe.ends_with("_total")) return safe + "_of_step";
  return safe;
}

// What metrics are, for those that people look at first; docs/runs.md has all.
std::string HelpOf(const std::string& metric) {
  static const auto* const kHelp = new std::map<std::string, std::string>{
      {"reward/mean", "Mean reward of the completions."},
      {"reward/std", "Standard deviation of the rewards."},
      {"groups/useful", "Share of groups whose rewards differ: only these have a gradient."},
      {"groups/all_right", "Share of groups without signal that are all right."},
      {"groups/all_wrong", "Share of groups without signal that are not."},
      {"length/mean", "Tokens of a completion, mean."},
      {"length/truncated", "Share of completions that ran into the length limit."},
      {"policy/entropy", "Mean entropy of the sampled tokens, nats."},
      {"policy/clip_low", "Share of tokens clipped below."},
      {"policy/clip_high", "Share of tokens clipped above."},
      {"policy/kl", "Divergence from the reference."},
      {"optimizer/gradient_norm", "Norm of the gradient before clipping."},
      {"optimizer/learning_rate", "Learning rate of the last update."},
      {"exactness/logprob_max_abs_diff",
       "Largest difference of log-probs between learner and sampler; should be 0."},
      {"staleness/mean", "Policy versions between sampler and update, mean over tokens."},
      {"time/step_s", "Duration of the step."},
      {"speed/generate_tokens_per_s", "Tokens generated a second."},
      {"speed/learn_tokens_per_s", "Tokens learnt from a second."},
      {"eval/greedy_accuracy", "Share of held-out tasks solved by greedy decoding."},
      {"eval/sampled_accuracy", "Share of held-out tasks solved by sampling."},
  };
  const auto found = kHelp->find(metric);
  return found == kHelp->end() ? "The run's metric " + metric + "." : found->second;
}

void AddMetric(const std::string& metric, double value, const Labels& run, Exposition& out) {
  const auto labelled = [&](const std::string& name, const std::string& help,
                            const std::string& label, std::string_view of_label) {
    Labels labels = run;
    labels.emplace_back(label, of_label);
    out.Gauge(name, help, labels, value);
  };
  std::string_view rest = metric;
  if (metric != "reward/mean" && metric != "reward/std" && TakePrefix(rest, "reward/")) {
    labelled("ponder_reward_part", "Mean of a weighted part of the reward.", "part", rest);
  } else if (TakePrefix(rest, "part/")) {
    labelled("ponder_verdict_part", "Mean of a named part of the verdicts.", "part", rest);
  } else if (metric == "dropped/total" || TakePrefix(rest, "verdict/")) {
    // Counters over the whole run.
  } else if (TakePrefix(rest, "dropped/")) {
    labelled("ponder_step_dropped", "Completions of the step without a verdict.", "reason", rest);
  } else if (TakePrefix(rest, "audit/")) {
    if (TakeSuffix(rest, "_disagreement")) {
      labelled("ponder_audit_disagreement", "Share of audited verdicts that are disputed.", "audit",
               rest);
    } else if (TakeSuffix(rest, "_looked_at")) {
      labelled("ponder_audit_looked_at", "Verdicts of the step that were audited.", "audit", rest);
    } else if (TakeSuffix(rest, "_failed")) {
      labelled("ponder_audit_failed", "Audits of the step that failed.", "audit", rest);
    }
  } else {
    out.Gauge("ponder_" + SafeName(metric), HelpOf(metric), run, value);
  }
}

void AddWorkers(const PrometheusRun& run, Exposition& out) {
  for (const WorkerRecord& worker : run.workers) {
    const Labels labels = {{"run", run.id}, {"worker", worker.name}, {"role", worker.role}};
    // Workers of a run that was killed are as they were then.
    const bool here = worker.IsHere() && run.status == "running";
    out.Gauge("ponder_worker_up", "1 while the worker is here, 0 when it is lost or has left.",
              labels, here ? 1 : 0);
    // What the learner has done is ponder_tokens_learnt_total.
    const auto done = static_cast<double>(worker.done);
    if (worker.role == "rollout") {
      out.Counter("ponder_worker_completions_total", "Completions generated.", labels, done);
    } else if (worker.role == "verifier") {
      out.Counter("ponder_worker_judged_items_total", "Items judged.", labels, done);
    }
    out.Counter("ponder_worker_restarts_total", "How often the worker was started again.", labels,
                static_cast<double>(worker.restarts));
    if (!here) continue;
    out.Gauge("ponder_worker_running", "Completions, or items to judge, under way.", labels,
              static_cast<double>(worker.running));
    out.Gauge("ponder_worker_waiting", "Completions that wait.", labels,
              static_cast<double>(worker.waiting));
    if (std::isfinite(worker.busy)) {
      out.Gauge("ponder_worker_busy_ratio",
                "Share of a learner's time or a worker's places in use.", labels, worker.busy);
    }
    if (worker.role == "verifier") continue;
    out.Gauge("ponder_worker_policy_version", "Policy version that the worker has.", labels,
              static_cast<double>(worker.policy_version));
  }
}

// "cpu/process_percent" -> ponder_machine_cpu_process_ratio; "gpu0/power_watts" ->
// ponder_machine_gpu_power_watts{gpu="0"}
void AddReadings(const PrometheusRun& run, Exposition& out) {
  // Newest first: of series with the same labels the first is kept.
  for (auto reading = run.readings.rbegin(); reading != run.readings.rend(); ++reading) {
    std::string name = reading->name;
    Labels labels = {{"run", run.id}, {"source", reading->source}};
    if (const size_t end = name.find('/'); name.starts_with("gpu") && end != std::string::npos) {
      labels.emplace_back("gpu", name.substr(3, end - 3));
      name.erase(3, end - 3);
    }
    const std::string help = "The machine's reading " + name + ".";
    std::string_view rest = name;
    const bool percent = TakeSuffix(rest, "_percent");
    out.Gauge("ponder_machine_" + SafeName(rest) + (percent ? "_ratio" : ""), help, labels,
              percent ? reading->value / 100 : reading->value);
  }
}

void AddState(const PrometheusRun& run, const Labels& labels, Exposition& out) {
  for (const char* status : {"running", "finished", "failed", "stopped"}) {
    out.Gauge("ponder_run_status", "1 for what the run is, 0 for what it is not.",
              {{"run", run.id}, {"status", status}}, run.status == status ? 1 : 0);
  }
  if (!run.state.activity.empty()) {
    out.Gauge("ponder_run_activity", "1 for what the run is doing.",
              {{"run", run.id}, {"activity", run.state.activity}}, 1);
  }
  out.Gauge("ponder_run_step", "Newest training step.", labels, static_cast<double>(run.last_step));
  out.Gauge("ponder_run_steps", "Training steps of the whole run.", labels,
            static_cast<double>(run.state.steps));
  out.Gauge("ponder_run_workers", "Workers that generate.", labels,
            static_cast<double>(run.state.workers));
  if (std::isfinite(run.state.left_s)) {
    out.Gauge("ponder_run_left_seconds", "Estimated time until the run's end.", labels,
              run.state.left_s);
  }
  if (run.state.total > 0) {
    out.Gauge("ponder_run_activity_progress_ratio", "How far the activity is.", labels,
              static_cast<double>(run.state.done) / static_cast<double>(run.state.total));
  }
}

}  // namespace

absl::StatusOr<PrometheusRun> ReadPrometheusRun(RunReader& reader, const std::string& id,
                                                const std::string& status) {
  // More than sources and names there are.
  constexpr int64_t kReadings = 200;
  PrometheusRun run{.id = id, .status = status};
  PONDER_ASSIGN_OR_RETURN(run.state, reader.State());
  std::vector<std::string> counted = {"dropped/total", "learner/target_tokens"};
  for (const VerdictStatus verdict :
       {VerdictStatus::kCorrect, VerdictStatus::kWrong, VerdictStatus::kNoAnswer,
        VerdictStatus::kUnparseable, VerdictStatus::kInvalidGold, VerdictStatus::kTimeout}) {
    counted.push_back("verdict/" + std::string(ToString(verdict)));
  }
  PONDER_ASSIGN_OR_RETURN(const MetricTable sums, reader.Metrics("train", 0, counted));
  for (const auto& [name, values] : sums.values) {
    double sum = 0;
    for (const double value : values) sum += std::isfinite(value) ? value : 0;
    std::string_view rest = name;
    if (TakePrefix(rest, "verdict/")) run.verdicts[std::string(rest)] = sum;
    if (name == "dropped/total") run.dropped = sum;
    if (name == "learner/target_tokens") run.learnt_tokens = sum;
  }
  // The newest row of a phase.
  std::map<std::string, int64_t> newest;
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  for (const StepInfo& info : steps) newest[info.phase] = info.step;
  run.last_step = newest["train"];
  for (const auto& [phase, metrics] : {std::pair("train", &run.train), {"eval/train", &run.eval}}) {
    PONDER_ASSIGN_OR_RETURN(const MetricTable last, reader.Metrics(phase, newest[phase] - 1, {}));
    for (const auto& [name, values] : last.values) {
      if (!values.empty() && !std::isnan(values.back())) (*metrics)[name] = values.back();
    }
  }
  PONDER_ASSIGN_OR_RETURN(const std::vector<TimedEvent> events, reader.Events(0));
  for (const TimedEvent& event : events) ++run.events[event.event.kind];
  PONDER_ASSIGN_OR_RETURN(run.workers, reader.Workers());
  PONDER_ASSIGN_OR_RETURN(run.readings, reader.Readings(0, kReadings));
  return run;
}

std::string PrometheusText(std::span<const PrometheusRun> runs) {
  Exposition out;
  out.Gauge("ponder_runs", "Runs served.", {}, static_cast<double>(runs.size()));
  for (const PrometheusRun& run : runs) {
    const Labels labels = {{"run", run.id}};
    AddState(run, labels, out);
    for (const auto& [status, count] : run.verdicts) {
      out.Counter("ponder_verdicts_total", "Verdicts by status.",
                  {{"run", run.id}, {"status", status}}, count);
    }
    out.Counter("ponder_completions_dropped_total", "Completions without a verdict.", labels,
                run.dropped);
    out.Counter("ponder_tokens_learnt_total", "Tokens learnt from.", labels, run.learnt_tokens);
    for (const auto& [kind, count] : run.events) {
      out.Counter("ponder_events_total", "Events by kind: checkpoints, warnings and others.",
                  {{"run", run.id}, {"kind", kind}}, static_cast<double>(count));
    }
    AddWorkers(run, out);
    AddReadings(run, out);
    for (const auto& [name, value] : run.train) AddMetric(name, value, labels, out);
    for (const auto& [name, value] : run.eval) AddMetric(name, value, labels, out);
  }
  return out.Text();
}

}  // namespace ponder
