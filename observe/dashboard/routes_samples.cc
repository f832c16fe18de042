// Groups and samples in lists.
#include <algorithm>
#include <set>
#include <utility>

#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"
#include "observe/dashboard/sample_filter.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kAnyNumber = int64_t{1} << 53;
constexpr int64_t kMostListed = 200;
constexpr int64_t kMostOfTask = 200;  // groups
constexpr absl::Duration kSearchTime = absl::Seconds(2);

struct Neighbours {
  std::optional<int64_t> step;  // empty: the phase has none, or not the one asked for
  std::optional<int64_t> previous, next;
};

// The step asked for, else the phase's last one, with those before and after it.
Neighbours FindStep(const std::vector<StepInfo>& all, const std::string& phase,
                    std::optional<int64_t> asked) {
  std::set<int64_t> steps;
  for (const StepInfo& info : all) {
    if (info.phase == phase) steps.insert(info.step);
  }
  if (steps.empty()) return {};
  const auto found = asked ? steps.find(*asked) : std::prev(steps.end());
  if (found == steps.end()) return {};
  Neighbours result{.step = *found};
  if (found != steps.begin()) result.previous = *std::prev(found);
  if (std::next(found) != steps.end()) result.next = *std::next(found);
  return result;
}

json OrNull(const std::optional<int64_t>& value) { return value ? json(*value) : json(); }

// The samples of a step that the filter asks for.
absl::StatusOr<std::set<int64_t>> MatchesOf(RunReader& reader, SampleFilter filter,
                                            const std::string& phase, int64_t step) {
  filter.phase = phase;
  filter.first_step = filter.last_step = step;
  PONDER_ASSIGN_OR_RETURN(const SampleList list, reader.FindSamples(filter, SampleOrder::kStep, 0,
                                                                    kAnyNumber, kSearchTime));
  if (list.cut_short) {
    return Unavailable("the search through step {} took longer than {}; ask for less", step,
                       absl::FormatDuration(kSearchTime));
  }
  std::set<int64_t> matches;
  for (const SampleSummary& sample : list.samples) matches.insert(sample.sample);
  return matches;
}

}  // namespace

RouteAnswer GroupsRoute(const RunRequest& request) {
  QueryReader& query = request.query;
  std::string phase = query.Text("phase");
  if (phase.empty()) phase = "train";
  const std::optional<int64_t> asked = query.Integer("step", 0, kAnyNumber);
  const SampleFilter filter = ReadSampleFilter(query);
  const std::optional<GroupOutcome> outcome = ReadOutcome(query);
  PONDER_RETURN_IF_ERROR(query.Check());

  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, request.reader.Steps());
  const Neighbours found = FindStep(steps, phase, asked);
  if (asked && !found.step) return NotFound("phase \"{}\" has no step {}", phase, *asked);
  std::vector<GroupSummary> groups;
  std::optional<std::set<int64_t>> matches;  // empty: all
  if (found.step) {
    PONDER_ASSIGN_OR_RETURN(groups, request.reader.Groups(phase, *found.step));
    if (AsksForSamples(filter)) {
      PONDER_ASSIGN_OR_RETURN(matches, MatchesOf(request.reader, filter, phase, *found.step));
    }
  }
  json list = json::array();
  for (const GroupSummary& group : groups) {
    if (outcome && OutcomeOf(group) != *outcome) continue;
    json item = ToJson(group);
    if (matches) {
      bool any = false;
      for (size_t i = 0; i < group.samples.size(); ++i) {
        const bool match = matches->contains(group.samples[i].sample);
        item["samples"][i]["match"] = match;
        any |= match;
      }
      if (!any) continue;
    }
    list.push_back(std::move(item));
  }
  return JsonResponse({{"phase", phase},
                       {"step", OrNull(found.step)},
                       {"previous_step", OrNull(found.previous)},
                       {"next_step", OrNull(found.next)},
                       {"groups", std::move(list)}});
}

RouteAnswer SamplesRoute(const RunRequest& request) {
  QueryReader& query = request.query;
  SampleFilter filter = ReadSampleFilter(query);
  if (const std::string phase = query.Text("phase"); !phase.empty()) filter.phase = phase;
  filter.first_step = query.Integer("first_step", 0, kAnyNumber);
  filter.last_step = query.Integer("last_step", 0, kAnyNumber);
  const std::optional<size_t> order =
      query.Choice("order", {"step", "reward_up", "reward_down", "length_up", "length_down"});
  const int64_t offset = query.Integer("offset", 0, kAnyNumber).value_or(0);
  const int64_t limit = query.Integer("limit", 1, kMostListed).value_or(50);
  PONDER_RETURN_IF_ERROR(query.Check());
  PONDER_ASSIGN_OR_RETURN(
      const SampleList list,
      request.reader.FindSamples(filter, static_cast<SampleOrder>(order.value_or(0)), offset, limit,
                                 kSearchTime));
  json samples = json::array();
  for (const SampleSummary& sample : list.samples) samples.push_back(ToJson(sample));
  return JsonResponse(
      {{"samples", std::move(samples)}, {"more", list.more}, {"cut_short", list.cut_short}});
}

RouteAnswer TaskRoute(const RunRequest& request) {
  const std::string id = request.query.Text("id");
  PONDER_RETURN_IF_ERROR(request.query.Check());
  if (id.empty()) return InvalidArgument("id: expected the id of a task");
  PONDER_ASSIGN_OR_RETURN(const std::vector<GroupSummary> groups,
                          request.reader.TaskHistory(id, kMostOfTask));
  if (groups.empty()) return NotFound("the run has no task \"{}\"", id);
  return JsonResponse({{"task", ToJson(groups.back().task)}, {"groups", ToJson(groups)}});
}

}  // namespace ponder
