#include "app/run_timeline.h"

#include <algorithm>

namespace ponder {
namespace {

// "update 3", "updates 3 to 8"
std::string Range(const std::string& noun, int64_t first, int64_t last) {
  return first == last ? fmt::format("{} {}", noun, first)
                       : fmt::format("{}s {} to {}", noun, first, last);
}

}  // namespace

RunPoint RunTimeline::Of(const CheckpointName& name) const {
  if (name.phase.empty()) return 0;
  return name.phase == "sft" ? name.step : OfStep(name.step);
}

CheckpointName RunTimeline::NameOf(RunPoint point) const {
  if (point <= supervised) return {.phase = "sft", .step = point};
  return {.phase = "step", .step = point - OfStep(0)};
}

std::optional<RunPoint> RunTimeline::OfVersion(int64_t version) const {
  const auto place = std::ranges::find(versions, version);
  if (place == versions.end()) return std::nullopt;
  return OfStep(place - versions.begin());
}

absl::StatusOr<RunTimeline> ReadTimeline(RunReader& reader) {
  RunTimeline timeline{.supervised = 0, .versions = {0}};
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  for (const StepInfo& info : steps) {
    if (info.phase != "sft") continue;
    if (info.step != ++timeline.supervised) {
      return DataLoss("the store holds update {} of the cold start where update {} was expected",
                      info.step, timeline.supervised);
    }
    timeline.versions[0] = info.policy_version;
  }
  for (const StepInfo& info : steps) {
    if (info.phase != "train") continue;
    if (info.step != std::ssize(timeline.versions)) {
      return DataLoss("the store holds step {} where step {} was expected", info.step,
                      timeline.versions.size());
    }
    timeline.versions.push_back(info.policy_version);
  }
  return timeline;
}

std::vector<RunLeg> PlanLegs(std::optional<RunPoint> here, const std::vector<RunPoint>& wanted,
                             const std::vector<RunPoint>& checkpoints) {
  std::vector<RunLeg> legs;
  for (const RunPoint point : wanted) {
    const auto above = std::ranges::upper_bound(checkpoints, point);
    const std::optional<RunPoint> newest =
        above == checkpoints.begin() ? std::nullopt : std::optional(*std::prev(above));
    if (newest.has_value() && (!here.has_value() || *newest > *here)) {
      legs.push_back({RunLeg::From::kCheckpoint, *newest, point});
    } else if (!here.has_value()) {
      legs.push_back({RunLeg::From::kBase, 0, point});
    } else if (legs.empty()) {
      legs.push_back({RunLeg::From::kHere, *here, point});
    } else {
      legs.back().end = point;
    }
    here = point;
  }
  return legs;
}

std::string Describe(const RunLeg& leg, const RunTimeline& timeline) {
  const std::string from = leg.from == RunLeg::From::kBase ? "the base model"
                           : leg.from == RunLeg::From::kCheckpoint
                               ? "checkpoint " + timeline.NameOf(leg.begin).ToString()
                               : "there";
  std::string learnt;
  if (const RunPoint last = std::min(leg.end, timeline.supervised); leg.begin < last)
    learnt = Range("update", leg.begin + 1, last) + " of the cold start";
  const RunPoint start = timeline.OfStep(0);
  if (const RunPoint first = std::max(leg.begin, start); first < leg.end) {
    learnt += (learnt.empty() ? "" : " and ") + Range("step", first - start + 1, leg.end - start);
  }
  return learnt.empty() ? fmt::format("{} as it is", from)
                        : fmt::format("learning {} again from {}", learnt, from);
}

}  // namespace ponder
