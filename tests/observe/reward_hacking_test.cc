#include "observe/reward_hacking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/observe/synthetic_run.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A run whose right answers stay as they are unless `trouble` changes them.
MetricTable Made(std::function<void(double done, Metrics&)> trouble) {
  constexpr int64_t kSteps = 80;
  return MakeSyntheticTable(
      {.steps = kSteps,
       .solve_from = 0.4,
       .solve_to = 0.4,
       .trouble = [&](int64_t step,
                      Metrics& metrics) { trouble(static_cast<double>(step) / kSteps, metrics); }},
      7);
}

Hint Only(const MetricTable& train, const MetricTable& eval = {}) {
  const std::vector<Hint> hints = FindRewardHacking(train, eval);
  EXPECT_EQ(hints.size(), 1u);
  if (hints.empty()) return {};
  EXPECT_FALSE(hints[0].remedy.empty());
  EXPECT_FALSE(hints[0].metrics.empty());
  return hints[0];
}

void FewerRight(double share, Metrics& metrics) {
  const double lost = std::floor(metrics["verdict/CORRECT"] * (1 - share));
  metrics["verdict/CORRECT"] -= lost;
  metrics["verdict/WRONG"] += lost;
  metrics["reward/correct"] *= share;
}

TEST(RewardHackingTest, SeesALengthThatPaysWithoutRightAnswers) {
  const Hint hint = Only(Made([](double done, Metrics& metrics) {
    metrics["length/mean"] *= 1 + 2 * done;
    metrics["reward/mean"] += 0.4 * done;
  }));
  EXPECT_EQ(hint.kind, "length_pays");
  EXPECT_THAT(hint.text, HasSubstr("the reward rises with the length"));
  EXPECT_EQ(hint.first_step, 1);
  EXPECT_EQ(hint.last_step, 80);
  // With right answers it is as it should be.
  EXPECT_THAT(FindRewardHacking(MakeSyntheticTable({.steps = 80, .length_to = 600}, 7), {}),
              IsEmpty());
}

TEST(RewardHackingTest, SeesFormInPlaceOfRightAnswers) {
  const Hint hint = Only(Made([](double done, Metrics& metrics) {
    metrics["reward/format"] += 0.5 * done;
    metrics["part/format"] = 0.5 + 0.5 * done;
    FewerRight(1 - 0.8 * done, metrics);
  }));
  EXPECT_EQ(hint.kind, "format_instead_of_correctness");
  EXPECT_THAT(hint.remedy, HasSubstr("reward.gates"));
}

TEST(RewardHackingTest, SeesPartsOfTheRewardThatGoAgainstEachOther) {
  const Hint note = Only(Made([](double done, Metrics& metrics) {
    metrics["reward/brevity"] = 0.3 - 0.2 * done;
    metrics["reward/politeness"] = 0.1 + 0.2 * done;
  }));
  EXPECT_EQ(note.kind, "parts_against_each_other");
  EXPECT_EQ(note.severity, HintSeverity::kNote);
  EXPECT_THAT(note.text, HasSubstr("reward/politeness rises"));
  EXPECT_THAT(note.text, HasSubstr("reward/brevity falls"));
  const Hint warning = Only(Made([](double done, Metrics& metrics) {
    metrics["reward/politeness"] = 0.1 + 0.2 * done;
    FewerRight(1 - 0.8 * done, metrics);
  }));
  EXPECT_EQ(warning.severity, HintSeverity::kWarning);
}

MetricTable Evaluations(std::vector<double> accuracies, double half_width) {
  MetricTable eval;
  for (size_t i = 0; i < accuracies.size(); ++i) {
    eval.steps.push_back(static_cast<int64_t>(i) * 100);
    eval.values["eval/greedy_accuracy"].push_back(accuracies[i]);
    eval.values["eval/greedy_accuracy_low"].push_back(accuracies[i] - half_width);
    eval.values["eval/greedy_accuracy_high"].push_back(accuracies[i] + half_width);
  }
  return eval;
}

TEST(RewardHackingTest, SeesHeldOutAccuracyFallWhileTheRewardRises) {
  const MetricTable rising = MakeSyntheticTable({.steps = 200, .solve_to = 0.9, .pace = 1}, 7);
  const Hint hint = Only(rising, Evaluations({0.5, 0.6, 0.4}, 0.06));
  EXPECT_EQ(hint.kind, "held_out_falls");
  EXPECT_EQ(hint.first_step, 100);
  EXPECT_EQ(hint.last_step, 200);
  EXPECT_THAT(hint.text, HasSubstr("60.0 % at step 100, 40.0 % at step 200"));
  EXPECT_THAT(FindRewardHacking(rising, Evaluations({0.5, 0.6, 0.4}, 0.15)), IsEmpty())
      << "within the intervals";
  EXPECT_THAT(FindRewardHacking(rising, Evaluations({0.5, 0.6}, 0.01)), IsEmpty());
  EXPECT_THAT(FindRewardHacking(Made([](double, Metrics&) {}), Evaluations({0.5, 0.6, 0.4}, 0.06)),
              IsEmpty())
      << "the reward does not rise";
}

TEST(RewardHackingTest, SeesAuditsDisputeMore) {
  const Hint hint = Only(Made([](double done, Metrics& metrics) {
    if (done > 0.1) metrics["audit/strict_disagreement"] = 0.05 + 0.3 * done;
  }));
  EXPECT_EQ(hint.kind, "audit_disputes");
  EXPECT_THAT(hint.text, HasSubstr("audit/strict_disagreement rises"));
}

}  // namespace
}  // namespace ponder
