#include "observe/diagnosis.h"

#include <limits>
#include <utility>

#include "observe/reward_hacking.h"
#include "observe/troubles.h"

namespace ponder {
namespace {

void Append(int64_t step, const Metrics& metrics, MetricTable& table) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [name, value] : metrics) {
    std::vector<double>& column = table.values[name];
    column.resize(table.steps.size(), kNone);  // a curve that begins here
    column.push_back(value);
  }
  table.steps.push_back(step);
  for (auto& [name, column] : table.values) column.resize(table.steps.size(), kNone);
}

}  // namespace

std::vector<Hint> Diagnosis::Add(int64_t step, const Metrics& metrics) {
  Append(step, metrics, table_);
  const auto rows = static_cast<int64_t>(table_.steps.size());
  std::vector<Hint> begun;
  for (Hint& hint : TroublesAt(table_, table_.steps.size())) {
    const auto [seen, is_new] = seen_.emplace(hint.kind, rows);
    const bool is_back = rows - seen->second > kCalmSteps;
    seen->second = rows;
    if (is_new || is_back) begun.push_back(std::move(hint));
  }
  return begun;
}

std::vector<Hint> Diagnose(const MetricTable& train, const MetricTable& eval) {
  std::vector<Hint> hints;
  struct Episode {
    size_t hint;   // place in `hints`
    int64_t rows;  // when it showed last
  };
  std::map<std::string, Episode> episodes;  // newest of each kind
  for (size_t rows = 1; rows <= train.steps.size(); ++rows) {
    const auto now = static_cast<int64_t>(rows);
    for (Hint& hint : TroublesAt(train, rows)) {
      const auto found = episodes.find(hint.kind);
      if (found != episodes.end() && now - found->second.rows <= Diagnosis::kCalmSteps) {
        Hint& open = hints[found->second.hint];
        open.last_step = hint.last_step;
        open.text = std::move(hint.text);
        found->second.rows = now;
      } else {
        episodes.insert_or_assign(hint.kind, Episode{hints.size(), now});
        hints.push_back(std::move(hint));
      }
    }
  }
  for (Hint& hint : FindRewardHacking(train, eval)) hints.push_back(std::move(hint));
  return hints;
}

}  // namespace ponder
