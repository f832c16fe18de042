// What a person should know about a run, with samples that show it.
#include <optional>
#include <utility>

#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"
#include "observe/diagnosis.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kSamplesOfHint = 4;
constexpr absl::Duration kSearchTime = absl::Milliseconds(100);

// Which samples show what a metric tells; empty where none does.
struct Evidence {
  SampleFilter filter;
  SampleOrder order = SampleOrder::kRewardDown;
};

std::optional<Evidence> EvidenceOf(std::string_view metric) {
  constexpr std::string_view kVerdict = "verdict/";
  if (metric == "length/truncated") return Evidence{{.finish = FinishReason::kLength}};
  if (metric == "length/mean") return Evidence{{}, SampleOrder::kLengthDown};
  if (metric == "groups/all_wrong") return Evidence{{.status = VerdictStatus::kWrong}};
  if (metric.starts_with(kVerdict)) {
    for (int i = 0; i <= static_cast<int>(VerdictStatus::kInternal); ++i) {
      const auto status = static_cast<VerdictStatus>(i);
      if (ToString(status) == metric.substr(kVerdict.size())) return Evidence{{.status = status}};
    }
  }
  // The best rewarded show what the reward is paid for.
  if (metric.starts_with("reward/") || metric.starts_with("part/")) return Evidence{};
  return std::nullopt;
}

absl::StatusOr<json> SamplesOf(const Hint& hint, RunReader& reader) {
  json samples = json::array();
  for (const std::string& metric : hint.metrics) {
    std::optional<Evidence> evidence = EvidenceOf(metric);
    if (!evidence) continue;
    evidence->filter.first_step = evidence->filter.last_step = hint.last_step;
    PONDER_ASSIGN_OR_RETURN(
        const SampleList list,
        reader.FindSamples(evidence->filter, evidence->order, 0, kSamplesOfHint, kSearchTime));
    for (const SampleSummary& sample : list.samples) samples.push_back(sample.sample);
    break;
  }
  return samples;
}

}  // namespace

RouteAnswer HintsRoute(const RunRequest& request) {
  PONDER_RETURN_IF_ERROR(request.query.Check());
  PONDER_ASSIGN_OR_RETURN(const MetricTable train, request.reader.Metrics("train", -1, {}));
  PONDER_ASSIGN_OR_RETURN(const MetricTable eval, request.reader.Metrics("eval/train", -1, {}));
  json list = json::array();
  for (const Hint& hint : Diagnose(train, eval)) {
    PONDER_ASSIGN_OR_RETURN(json samples, SamplesOf(hint, request.reader));
    list.push_back({{"kind", hint.kind},
                    {"severity", hint.severity == HintSeverity::kWarning ? "warning" : "note"},
                    {"text", hint.text},
                    {"metrics", hint.metrics},
                    {"first_step", hint.first_step},
                    {"last_step", hint.last_step},
                    {"samples", std::move(samples)},
                    {"remedy", hint.remedy}});
  }
  return JsonResponse({{"hints", std::move(list)}});
}

}  // namespace ponder
