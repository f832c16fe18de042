#include "app/run_compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace ponder {
namespace {

double MeanUpTo(const MetricTable& table, const std::string& name, int64_t step) {
  const auto found = table.values.find(name);
  if (found == table.values.end()) return NAN;
  double sum = 0;
  int64_t count = 0;
  for (size_t i = 0; i < table.steps.size(); ++i) {
    if (table.steps[i] > step || table.steps[i] <= step - kComparedSteps) continue;
    if (std::isnan(found->second[i])) continue;
    sum += found->second[i];
    ++count;
  }
  return count == 0 ? NAN : sum / static_cast<double>(count);
}

using Evaluations = std::map<std::pair<int64_t, std::string>, StoredShare>;

absl::StatusOr<Evaluations> ReadEvaluations(RunReader& reader, const std::string& phase) {
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, reader.Metrics(phase, -1, {}));
  Evaluations shares;
  for (const std::string name : {"eval/greedy_accuracy", "eval/sampled_accuracy"}) {
    const auto found = table.values.find(name);
    if (found == table.values.end()) continue;
    for (size_t i = 0; i < table.steps.size(); ++i) {
      const auto bound = [&](const char* of) {
        const auto column = table.values.find(name + of);
        return column == table.values.end() ? NAN : column->second[i];
      };
      if (std::isnan(found->second[i])) continue;
      shares[{table.steps[i], name}] = {found->second[i], bound("_low"), bound("_high")};
    }
  }
  return shares;
}

}  // namespace

absl::StatusOr<RunComparison> CompareRuns(const std::string& a, const std::string& b) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunReader> reader_a, OpenRun(a));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunReader> reader_b, OpenRun(b));
  PONDER_ASSIGN_OR_RETURN(const SettingsFile settings_a, ReadSettingsFile(a));
  PONDER_ASSIGN_OR_RETURN(const SettingsFile settings_b, ReadSettingsFile(b));
  PONDER_ASSIGN_OR_RETURN(const MetricTable table_a, reader_a->Metrics("train", -1, {}));
  PONDER_ASSIGN_OR_RETURN(const MetricTable table_b, reader_b->Metrics("train", -1, {}));
  RunComparison comparison;
  comparison.settings = SettingDifferences({{settings_a, settings_b}});
  comparison.a_step = table_a.steps.empty() ? 0 : table_a.steps.back();
  comparison.b_step = table_b.steps.empty() ? 0 : table_b.steps.back();
  comparison.equal_step = std::min(comparison.a_step, comparison.b_step);
  std::set<std::string> names;
  for (const auto& [name, values] : table_a.values) names.insert(name);
  for (const auto& [name, values] : table_b.values) names.insert(name);
  for (const std::string& name : names) {
    comparison.metrics.push_back({.name = name,
                                  .a_end = MeanUpTo(table_a, name, comparison.a_step),
                                  .b_end = MeanUpTo(table_b, name, comparison.b_step),
                                  .a_equal = MeanUpTo(table_a, name, comparison.equal_step),
                                  .b_equal = MeanUpTo(table_b, name, comparison.equal_step)});
  }
  for (const std::string phase : {"eval/untrained", "eval/train"}) {
    PONDER_ASSIGN_OR_RETURN(const Evaluations of_a, ReadEvaluations(*reader_a, phase));
    PONDER_ASSIGN_OR_RETURN(const Evaluations of_b, ReadEvaluations(*reader_b, phase));
    std::set<std::pair<int64_t, std::string>> keys;
    for (const auto& [key, share] : of_a) keys.insert(key);
    for (const auto& [key, share] : of_b) keys.insert(key);
    const auto find = [](const Evaluations& of, const auto& key) {
      const auto found = of.find(key);
      return found == of.end() ? std::nullopt : std::optional(found->second);
    };
    for (const auto& key : keys) {
      comparison.evaluations.push_back({.phase = phase,
                                        .step = key.first,
                                        .metric = key.second,
                                        .a = find(of_a, key),
                                        .b = find(of_b, key)});
    }
  }
  return comparison;
}

}  // namespace ponder
