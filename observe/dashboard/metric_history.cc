#include "observe/dashboard/metric_history.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ponder {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kFewestSteps = 5;  // for a deviation to mean something

}  // namespace

double MetricMoment::Deviations() const {
  if (steps < kFewestSteps || !(deviation > 0)) return kNone;
  return (value - mean) / deviation;
}

MetricMoment MomentOf(const MetricTable& table, const std::string& name, size_t at) {
  MetricMoment moment{kNone, kNone, kNone, kNone, 0};
  const auto found = table.values.find(name);
  if (found == table.values.end()) return moment;
  const std::vector<double>& values = found->second;
  moment.value = values[at];
  if (at > 0) moment.before = values[at - 1];
  double sum = 0, squares = 0;
  for (size_t i = at - std::min(at, MetricMoment::kWindow); i < at; ++i) {
    if (!std::isfinite(values[i])) continue;
    sum += values[i];
    ++moment.steps;
  }
  if (moment.steps == 0) return moment;
  moment.mean = sum / static_cast<double>(moment.steps);
  for (size_t i = at - std::min(at, MetricMoment::kWindow); i < at; ++i) {
    if (std::isfinite(values[i])) squares += (values[i] - moment.mean) * (values[i] - moment.mean);
  }
  if (moment.steps > 1) {
    moment.deviation = std::sqrt(squares / static_cast<double>(moment.steps - 1));
  }
  return moment;
}

std::vector<Move> MovesAt(const MetricTable& table, size_t at, double least) {
  std::vector<Move> moves;
  for (const auto& [name, values] : table.values) {
    if (name.starts_with("time/") || name.starts_with("speed/")) continue;
    const double deviations = MomentOf(table, name, at).Deviations();
    if (std::abs(deviations) >= least) moves.push_back({name, deviations});
  }
  std::sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) {
    return std::abs(a.deviations) > std::abs(b.deviations);
  });
  return moves;
}

}  // namespace ponder
