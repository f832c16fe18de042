#include "app/run_report.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "base/file.h"
#include "observe/curve_svg.h"
#include "verifiers/combined_verifier.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

// RUN/reward.svg and RUN/accuracy.svg from what the store holds.
absl::Status DrawCurves(RunStore& store, const std::string& directory) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> train, store.ReadMetrics("train"));
  PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> eval, store.ReadMetrics("eval/train"));
  auto curve = [](const std::vector<StoredMetric>& metrics, const std::string& name,
                  const std::string& label) {
    Curve out{.label = label};
    for (const StoredMetric& metric : metrics) {
      if (metric.name == name)
        out.points.push_back({static_cast<double>(metric.step), metric.value});
    }
    return out;
  };
  PONDER_RETURN_IF_ERROR(WriteCurveSvg(
      directory + "/reward.svg",
      {.title = "Reward by step",
       .curves = {curve(train, "reward/mean", "reward"), curve(train, "reward/correct", "correct"),
                  curve(train, "groups/useful", "groups with signal")}}));
  if (eval.empty()) return absl::OkStatus();
  return WriteCurveSvg(directory + "/accuracy.svg",
                       {.title = "Accuracy on held-out tasks",
                        .curves = {curve(eval, "eval/greedy_accuracy", "greedy"),
                                   curve(eval, "eval/sampled_accuracy", "sampled")},
                        .y_range = std::pair(0.0, 1.0)});
}

// What audits dispute, as RUN/audit.svg and RUN/disputed.jsonl; nothing where there is no audit.
absl::Status ReportAudits(const RunConfig& config, RunStore& store, const std::string& directory,
                          Console& console) {
  constexpr int64_t kMaxDisputed = 1000;
  PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> metrics, store.ReadMetrics("train"));
  CurvePlot plot{.title = "Share of audited verdicts that are disputed",
                 .y_range = std::pair(0.0, 1.0)};
  for (const auto& [name, keys] : config.verifiers) {
    if (keys.role != "audit") continue;
    Curve curve{.label = name};
    double disputed = 0, looked_at = 0;
    std::map<int64_t, double> counts;  // looked at, by step
    for (const StoredMetric& metric : metrics) {
      if (metric.name == "audit/" + name + "_looked_at") counts[metric.step] = metric.value;
    }
    for (const StoredMetric& metric : metrics) {
      if (metric.name != "audit/" + name + "_disagreement") continue;
      curve.points.push_back({static_cast<double>(metric.step), metric.value});
      looked_at += counts[metric.step];
      disputed += metric.value * counts[metric.step];
    }
    console.Say(
        fmt::format("audit {}: {:.0f} of {:.0f} completions disputed", name, disputed, looked_at));
    plot.curves.push_back(std::move(curve));
  }
  if (plot.curves.empty()) return absl::OkStatus();
  PONDER_RETURN_IF_ERROR(WriteCurveSvg(directory + "/audit.svg", plot));
  PONDER_ASSIGN_OR_RETURN(
      const std::vector<StoredCompletion> disputed,
      store.ReadMarked("train", kAuditPrefix, kAuditDisputedSuffix, kMaxDisputed));
  std::string lines;
  for (const StoredCompletion& one : disputed) {
    lines += Dump({{"sample", one.rowid},
                   {"step", one.step},
                   {"task", one.task.id},
                   {"gold", one.task.gold},
                   {"verdict", ToJson(one.verdict)},
                   {"completion", one.completion.text}}) +
             "\n";
  }
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(directory + "/disputed.jsonl", lines));
  if (disputed.empty()) return absl::OkStatus();
  console.Say(fmt::format("disputed completions: {}/disputed.jsonl", directory));
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteRunReport(const RunConfig& config, RunStore& store, const std::string& directory,
                            Console& console) {
  PONDER_RETURN_IF_ERROR(DrawCurves(store, directory));
  return ReportAudits(config, store, directory, console);
}

}  // namespace ponder
