#include "app/held_out.h"

#include <fmt/format.h>

#include <utility>

#include "app/config_convert.h"
#include "app/evaluate.h"

namespace ponder {

absl::StatusOr<std::optional<StepRecord>> EvaluateHeldOut(const RunConfig& config,
                                                          const TrainParts& parts,
                                                          const std::string& phase, int64_t step,
                                                          const std::string& label) {
  StepRecord record{.step = step, .policy_version = parts.trainer->PolicyVersion(), .phase = phase};
  parts.monitor->Begin("evaluating", step, config.run.steps, label);
  std::string line = fmt::format("held-out tasks, {}:", label);
  struct Mode {
    const char* name;
    int64_t samples;
    float temperature;
  };
  for (const Mode& mode :
       {Mode{"greedy", 1, 0.0f},
        Mode{"sampled", config.eval.samples, static_cast<float>(config.eval.temperature)}}) {
    if (mode.samples == 0) continue;
    EvaluateOptions options{.samples = mode.samples,
                            .seed = static_cast<uint64_t>(config.run.seed),
                            .sampling = ToSamplingParams(config, parts.prompts->StopIds())};
    options.sampling.temperature = mode.temperature;
    const std::string bar = fmt::format("evaluate {}, {}", label, mode.name);
    absl::StatusOr<Evaluation> result = Evaluate(
        parts.held_out, *parts.prompts, *parts.groups, parts.trainer->PolicyVersion(),
        *parts.verifier, parts.judge, options,
        [&](int64_t done, int64_t total) {
          parts.console->Progress(bar, done, total);
          parts.monitor->Progress(done, total);
        },
        [&] { return parts.Cancelled(); });
    parts.console->Progress("", 0, 0);
    if (absl::IsCancelled(result.status()) && parts.Cancelled()) return std::nullopt;
    PONDER_RETURN_IF_ERROR(result.status());
    const std::string prefix = fmt::format("eval/{}_", mode.name);
    record.metrics[prefix + "accuracy"] = result->accuracy.value;
    record.metrics[prefix + "accuracy_low"] = result->accuracy.low;
    record.metrics[prefix + "accuracy_high"] = result->accuracy.high;
    record.metrics[prefix + "format"] = result->formatted_share.value;
    record.metrics[prefix + "length"] = result->mean_length;
    record.metrics[prefix + "truncated"] =
        result->completions == 0
            ? 0
            : static_cast<double>(result->truncated) / static_cast<double>(result->completions);
    record.metrics[prefix + "dropped"] = static_cast<double>(result->dropped);
    record.metrics[prefix + "s"] = result->seconds;
    line += fmt::format("  {} {:.1f} % right [{:.1f}, {:.1f}], {:.0f} % in form", mode.name,
                        100 * result->accuracy.value, 100 * result->accuracy.low,
                        100 * result->accuracy.high, 100 * result->formatted_share.value);
    for (ScoredGroup& group : result->groups) record.groups.push_back(std::move(group));
  }
  parts.console->Say(line);
  return record;
}

}  // namespace ponder
