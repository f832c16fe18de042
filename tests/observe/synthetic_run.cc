#include "tests/observe/synthetic_run.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ponder {

Metrics MakeSyntheticStep(const SyntheticRun& run, int64_t step, RandomStream& random) {
  const double done = static_cast<double>(step - 1) / static_cast<double>(run.steps);
  const double way = 1 - std::exp(-done / run.pace);
  const auto between = [&](double from, double to) { return from + (to - from) * way; };
  const double solve = between(run.solve_from, run.solve_to);

  Metrics metrics;
  int64_t right = 0, useful = 0, all_right = 0, all_wrong = 0;
  for (int64_t g = 0; g < run.groups; ++g) {
    const double logit = std::log(solve / (1 - solve)) + run.task_spread * random.Normal();
    const double chance = 1 / (1 + std::exp(-logit));
    int64_t of_group = 0;
    for (int64_t c = 0; c < run.completions; ++c) of_group += random.Uniform() < chance;
    right += of_group;
    all_right += of_group == run.completions;
    all_wrong += of_group == 0;
    useful += of_group > 0 && of_group < run.completions;
  }
  const auto groups = static_cast<double>(run.groups);
  const double all = groups * static_cast<double>(run.completions);
  const double correct = static_cast<double>(right) / all;
  if (right > 0) metrics["verdict/CORRECT"] = static_cast<double>(right);
  if (const double wrong = all - static_cast<double>(right); wrong > 0) {
    metrics["verdict/WRONG"] = wrong;
  }
  const auto share = [&](double chance) {  // of the completions
    int64_t count = 0;
    for (int64_t i = 0; i < run.groups * run.completions; ++i) count += random.Uniform() < chance;
    return static_cast<double>(count) / all;
  };
  const double format = share(run.format);
  metrics["part/format"] = format;
  metrics["reward/format"] = 0.1 * format;
  metrics["reward/correct"] = correct;
  metrics["reward/mean"] = correct + 0.1 * format;
  metrics["reward/std"] = std::sqrt(correct * (1 - correct));
  metrics["groups/useful"] = static_cast<double>(useful) / groups;
  metrics["groups/all_right"] = static_cast<double>(all_right) / groups;
  metrics["groups/all_wrong"] = static_cast<double>(all_wrong) / groups;
  metrics["length/mean"] =
      between(run.length_from, run.length_to) * std::exp(0.06 * random.Normal());
  metrics["length/truncated"] = share(run.truncated);
  metrics["policy/entropy"] =
      between(run.entropy_from, run.entropy_to) * std::exp(0.1 * random.Normal());
  const bool heavy = random.Uniform() < 0.02;
  metrics["optimizer/gradient_norm"] =
      run.gradient * std::exp(0.3 * random.Normal()) * (heavy ? 2 : 1);
  metrics["optimizer/learning_rate"] = 1e-5;
  metrics["optimizer/skipped_updates"] = 0;
  metrics["exactness/logprob_max_abs_diff"] = 0;
  metrics["dropped/total"] = random.Uniform() < 0.02 ? 1 : 0;
  metrics["verifier/retries"] = random.Uniform() < 0.02 ? 1 : 0;
  if (run.trouble) run.trouble(step, metrics);
  return metrics;
}

MetricTable MakeSyntheticTable(const SyntheticRun& run, uint64_t seed) {
  RandomStream random(MakeRandomKey(seed, "synthetic run"), 0);
  MetricTable table;
  for (int64_t step = 1; step <= run.steps; ++step) {
    for (const auto& [name, value] : MakeSyntheticStep(run, step, random)) {
      std::vector<double>& column = table.values[name];
      column.resize(static_cast<size_t>(step - 1), std::numeric_limits<double>::quiet_NaN());
      column.push_back(value);
    }
    table.steps.push_back(step);
  }
  for (auto& [name, column] : table.values) {
    column.resize(table.steps.size(), std::numeric_limits<double>::quiet_NaN());
  }
  return table;
}

}  // namespace ponder
