#include "observe/dashboard/sample_filter.h"

#include <limits>
#include <string>
#include <vector>

#include "observe/dashboard/run_json.h"

namespace ponder {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

// The names of an enumeration behind its first value, which is "unspecified".
template <typename Enum>
std::vector<std::string> Names(Enum last) {
  std::vector<std::string> names;
  for (int i = 1; i <= static_cast<int>(last); ++i) {
    names.emplace_back(ToString(static_cast<Enum>(i)));
  }
  return names;
}

template <typename Enum>
std::optional<Enum> ReadEnum(QueryReader& query, std::string_view name, Enum last) {
  const std::optional<size_t> index = query.Choice(name, Names(last));
  if (!index) return std::nullopt;
  return static_cast<Enum>(*index + 1);
}

}  // namespace

SampleFilter ReadSampleFilter(QueryReader& query) {
  SampleFilter filter;
  filter.status = ReadEnum(query, "status", VerdictStatus::kInternal);
  filter.finish = ReadEnum(query, "finish", FinishReason::kError);
  filter.task_kind = query.Text("kind");
  filter.text = query.Text("text");
  filter.reward_low = query.Number("reward_min");
  filter.reward_high = query.Number("reward_max");
  filter.tokens_low = query.Integer("tokens_min", 0, kMostTokens);
  filter.tokens_high = query.Integer("tokens_max", 0, kMostTokens);
  return filter;
}

bool AsksForSamples(const SampleFilter& filter) {
  return filter.status || filter.finish || !filter.task_kind.empty() || !filter.text.empty() ||
         filter.reward_low || filter.reward_high || filter.tokens_low || filter.tokens_high;
}

GroupOutcome OutcomeOf(const GroupSummary& group) {
  const int64_t right = RightSamples(group);
  if (right == 0) return GroupOutcome::kAllWrong;
  return right == std::ssize(group.samples) ? GroupOutcome::kAllRight : GroupOutcome::kMixed;
}

std::optional<GroupOutcome> ReadOutcome(QueryReader& query) {
  const std::optional<size_t> index = query.Choice("outcome", {"all_right", "mixed", "all_wrong"});
  if (!index) return std::nullopt;
  return static_cast<GroupOutcome>(*index);
}

}  // namespace ponder
