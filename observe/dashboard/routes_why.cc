// From a point of a curve to what made it.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "observe/dashboard/metric_history.h"
#include "observe/dashboard/metric_parts.h"
#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"
#include "observe/dashboard/sample_filter.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kAnyStep = int64_t{1} << 53;
constexpr size_t kMostGroups = 12;
constexpr size_t kMostTokens = 30;
constexpr size_t kMostSamplesOfSentence = 8;
constexpr size_t kMostMoves = 3;
constexpr double kFarDeviations = 3;
constexpr double kLargePart = 0.25;
constexpr absl::Duration kReadingTime = absl::Seconds(1);

struct GroupShare {
  const GroupSummary* group;
  double share;
};

// Of a step's groups, the largest first; none where the metric is not made of groups.
struct Shares {
  // What `share` is:
  //   "distance"  of the metric's distance from the mean of the steps before, in its own unit
  //   "value"     likewise of its value, where no step before has one
  //   "spread"    a part of 1 of the spread of the rewards
  //   "pull"      a part of 1 of what pulls on the policy
  std::string_view of;
  std::vector<GroupShare> groups;
};

class Sentences {
 public:
  void Add(std::string text, std::vector<std::string> metrics, std::vector<int64_t> samples = {}) {
    if (samples.size() > kMostSamplesOfSentence) samples.resize(kMostSamplesOfSentence);
    list_.push_back(
        {{"text", std::move(text)}, {"metrics", std::move(metrics)}, {"samples", samples}});
  }
  json Take() { return std::move(list_); }

 private:
  json list_ = json::array();
};

void DescribeMoment(const std::string& metric, int64_t step, const MetricMoment& moment,
                    Sentences& sentences) {
  if (moment.steps == 0) {
    return sentences.Add(fmt::format("{} is {:.4g} at step {}; no step before it has a value to "
                                     "compare it with.",
                                     metric, moment.value, step),
                         {metric});
  }
  const double distance = moment.value - moment.mean;
  std::string text =
      fmt::format("{} is {:.4g} at step {}: {:.3g} {} the mean {:.4g} of the {} step{} before",
                  metric, moment.value, step, std::abs(distance), distance < 0 ? "below" : "above",
                  moment.mean, moment.steps, moment.steps == 1 ? "" : "s");
  if (const double deviations = moment.Deviations(); std::isfinite(deviations)) {
    text += fmt::format(", which is {:.1f} of their standard deviations", std::abs(deviations));
    if (std::abs(deviations) < 2) text += " and within what they do anyway";
  }
  sentences.Add(text + ".", {metric});
}

void DescribeMoves(const std::string& metric, const MetricTable& table, size_t at,
                   Sentences& sentences) {
  size_t told = 0;
  for (const Move& move : MovesAt(table, at, kFarDeviations)) {
    if (move.name == metric) continue;
    if (told++ == kMostMoves) return;
    sentences.Add(
        fmt::format("At the same step {} is {:.1f} standard deviations {} its mean.", move.name,
                    std::abs(move.deviations), move.deviations < 0 ? "below" : "above"),
        {move.name});
  }
}

void DescribeGroups(const std::vector<GroupSummary>& groups, Sentences& sentences) {
  std::map<GroupOutcome, int64_t> outcomes;
  std::map<std::string, int64_t> statuses;
  std::vector<int64_t> truncated;
  int64_t samples = 0;
  for (const GroupSummary& group : groups) {
    ++outcomes[OutcomeOf(group)];
    for (const SampleSummary& sample : group.samples) {
      ++samples;
      ++statuses[std::string(ToString(sample.status))];
      if (sample.finish == FinishReason::kLength) truncated.push_back(sample.sample);
    }
  }
  if (samples == 0) return;
  sentences.Add(fmt::format("Of {} groups {} are all right, {} mixed and {} all wrong.",
                            groups.size(), outcomes[GroupOutcome::kAllRight],
                            outcomes[GroupOutcome::kMixed], outcomes[GroupOutcome::kAllWrong]),
                {"groups/all_right", "groups/useful", "groups/all_wrong"});
  std::string verdicts;
  std::vector<std::string> metrics;
  for (const auto& [status, count] : statuses) {
    verdicts += fmt::format("{}{} {}", verdicts.empty() ? "" : ", ", count, status);
    metrics.push_back("verdict/" + status);
  }
  sentences.Add(fmt::format("Verdicts on the {} samples: {}.", samples, verdicts),
                std::move(metrics));
  if (!truncated.empty()) {
    sentences.Add(fmt::format("{} of them ran into the limit of their length.", truncated.size()),
                  {"length/truncated", "length/mean"}, truncated);
  }
}

// Says which group made most of it, where one made much.
void DescribeShares(const Shares& shares, Sentences& sentences) {
  double all = 0;
  for (const GroupShare& share : shares.groups) all += std::abs(share.share);
  if (shares.groups.size() < 2 || !(all > 0)) return;
  const GroupShare& first = shares.groups.front();
  if (std::abs(first.share) < kLargePart * all) return;
  const std::string_view what = shares.of == "distance" ? "movement"
                                : shares.of == "spread" ? "spread of the rewards"
                                : shares.of == "pull"   ? "pull on the policy"
                                                        : "value";
  const GroupSummary& group = *first.group;
  std::vector<int64_t> samples;
  for (const SampleSummary& sample : group.samples) samples.push_back(sample.sample);
  sentences.Add(fmt::format("One group of {} makes {:.0f} % of the {}: task {}, {} of {} right.",
                            shares.groups.size(), 100 * std::abs(first.share) / all, what,
                            group.task.id, RightSamples(group), group.samples.size()),
                {}, samples);
}

absl::StatusOr<Shares> SharesOf(const std::string& metric, const std::vector<GroupSummary>& groups,
                                const MetricMoment& moment, RunReader& reader) {
  Shares shares;
  PONDER_ASSIGN_OR_RETURN(const std::optional<MetricParts> parts,
                          ReadMetricParts(metric, groups, reader, kReadingTime));
  if (!parts) return shares;
  MetricPart total;
  for (const MetricPart& part : parts->groups) {
    total.sum += part.sum;
    total.count += part.count;
  }
  const bool mean = parts->kind == MetricParts::Kind::kMean;
  if (!((mean ? total.count : total.sum) > 0)) return shares;
  const double expected = std::isfinite(moment.mean) ? moment.mean : 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const MetricPart& part = parts->groups[i];
    shares.groups.push_back({&groups[i], mean ? (part.sum - expected * part.count) / total.count
                                              : part.sum / total.sum});
  }
  shares.of = parts->kind == MetricParts::Kind::kSpread ? "spread"
              : parts->kind == MetricParts::Kind::kPull ? "pull"
              : std::isfinite(moment.mean)              ? "distance"
                                                        : "value";
  std::stable_sort(shares.groups.begin(), shares.groups.end(),
                   [](const GroupShare& a, const GroupShare& b) {
                     return std::abs(a.share) > std::abs(b.share);
                   });
  return shares;
}

absl::StatusOr<json> TokensOf(const RunRequest& request, const std::string& metric,
                              const Shares& shares) {
  std::vector<GroupSummary> groups;
  for (const GroupShare& share : shares.groups) groups.push_back(*share.group);
  PONDER_ASSIGN_OR_RETURN(const std::vector<TellingToken> tokens,
                          TellingTokens(metric, groups, request.reader, kMostTokens, kReadingTime));
  json list = json::array();
  if (tokens.empty()) return list;
  PONDER_ASSIGN_OR_RETURN(const auto vocabulary,
                          request.vocabularies.Get(request.run, request.reader));
  for (const TellingToken& token : tokens) {
    const bool known = token.id >= 0 && static_cast<size_t>(token.id) < vocabulary->size();
    list.push_back({{"sample", token.sample},
                    {"position", token.position},
                    {"text", known ? (*vocabulary)[static_cast<size_t>(token.id)]
                                   : fmt::format("token {}", token.id)},
                    {"value", token.value},
                    {"what", token.what}});
  }
  return list;
}

}  // namespace

RouteAnswer WhyRoute(const RunRequest& request) {
  const std::string metric = request.query.Text("metric");
  const std::optional<int64_t> step = request.query.Integer("step", 0, kAnyStep);
  PONDER_RETURN_IF_ERROR(request.query.Check());
  if (metric.empty() || !step) return InvalidArgument("expected metric=NAME and step=NUMBER");
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, request.reader.Metrics("train", -1, {}));
  const auto place = std::lower_bound(table.steps.begin(), table.steps.end(), *step);
  if (place == table.steps.end() || *place != *step) {
    return NotFound("the run has no training step {}", *step);
  }
  if (!table.values.contains(metric)) return NotFound("the run has no metric \"{}\"", metric);
  const auto at = static_cast<size_t>(place - table.steps.begin());
  const MetricMoment moment = MomentOf(table, metric, at);

  PONDER_ASSIGN_OR_RETURN(const std::vector<GroupSummary> groups,
                          request.reader.Groups("train", *step));
  Sentences sentences;
  DescribeMoment(metric, *step, moment, sentences);
  absl::StatusOr<Shares> read = SharesOf(metric, groups, moment, request.reader);
  if (absl::IsDeadlineExceeded(read.status())) {  // the rest is worth telling
    sentences.Add(fmt::format("Which groups made it is not known: {}.", read.status().message()),
                  {});
    read = Shares();
  }
  PONDER_ASSIGN_OR_RETURN(Shares shares, std::move(read));
  DescribeShares(shares, sentences);
  DescribeMoves(metric, table, at, sentences);
  DescribeGroups(groups, sentences);
  if (shares.groups.size() > kMostGroups) shares.groups.resize(kMostGroups);
  json list = json::array();
  for (const GroupShare& share : shares.groups) {
    list.push_back(ToJson(*share.group));
    list.back()["share"] = share.share;
  }
  PONDER_ASSIGN_OR_RETURN(json tokens, TokensOf(request, metric, shares));
  return JsonResponse({{"metric", metric},
                       {"step", *step},
                       {"value", moment.value},
                       {"before", moment.before},
                       {"mean", moment.mean},
                       {"std", moment.deviation},
                       {"mean_of", moment.steps},
                       {"share_of", shares.of},
                       {"sentences", sentences.Take()},
                       {"groups", std::move(list)},
                       {"tokens", std::move(tokens)}});
}

}  // namespace ponder
