#include "observe/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "tests/observe/synthetic_run.h"

namespace ponder {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What a run is told as it goes, in order.
std::vector<Hint> Told(const SyntheticRun& run, uint64_t seed) {
  RandomStream random(MakeRandomKey(seed, "told"), 0);
  Diagnosis diagnosis;
  std::vector<Hint> told;
  for (int64_t step = 1; step <= run.steps; ++step) {
    for (Hint& hint : diagnosis.Add(step, MakeSyntheticStep(run, step, random))) {
      told.push_back(std::move(hint));
    }
  }
  return told;
}

std::vector<std::string> Kinds(const std::vector<Hint>& hints) {
  std::vector<std::string> kinds;
  for (const Hint& hint : hints) kinds.push_back(hint.kind);
  return kinds;
}

SyntheticRun With(std::function<void(int64_t, Metrics&)> trouble) {
  return {.steps = 100, .trouble = std::move(trouble)};
}

void ExpectIsWhole(const Hint& hint) {
  EXPECT_FALSE(hint.text.empty()) << hint.kind;
  EXPECT_FALSE(hint.remedy.empty()) << hint.kind;
  EXPECT_FALSE(hint.metrics.empty()) << hint.kind;
  EXPECT_LE(hint.first_step, hint.last_step) << hint.kind;
}

// The only trouble of a run that is well but for it.
Hint OnlyTrouble(const SyntheticRun& run) {
  const std::vector<Hint> told = Told(run, 1);
  EXPECT_EQ(told.size(), 1u) << ::testing::PrintToString(Kinds(told));
  if (told.empty()) return {};
  ExpectIsWhole(told[0]);
  return told[0];
}

// Shapes of runs that are well.
std::vector<SyntheticRun> HealthyShapes() {
  return {
      {},
      {.steps = 40, .solve_from = 0.3, .solve_to = 0.75, .length_to = 200},
      {.steps = 1000, .solve_from = 0.2, .solve_to = 0.8, .pace = 0.1},  // a long plateau
      {.steps = 300, .solve_from = 0.25, .solve_to = 0.5, .pace = 1},    // slow all along
      {.steps = 300, .length_from = 150, .length_to = 900},              // learns to think
      {.steps = 300, .length_from = 600, .length_to = 100},              // learns to be brief
      {.steps = 300, .solve_from = 0.1, .solve_to = 0.6, .entropy_from = 1.2, .entropy_to = 0.25},
      {.steps = 300, .groups = 64, .completions = 16, .truncated = 0.15, .format = 0.8},
      {.steps = 300, .groups = 8, .completions = 8, .solve_from = 0.4, .solve_to = 0.8},
  };
}

TEST(DiagnosisTest, IsQuietOnHealthyRuns) {
  int64_t steps = 0, told = 0, hints = 0;
  std::map<std::string, int> kinds;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (const SyntheticRun& shape : HealthyShapes()) {
      steps += shape.steps;
      for (const Hint& hint : Told(shape, seed)) {
        ++told;
        ++kinds[hint.kind];
      }
      for (const Hint& hint : Diagnose(MakeSyntheticTable(shape, seed), {})) {
        ++hints;
        ++kinds[hint.kind + " (whole run)"];
      }
    }
  }
  // Below one in a thousand steps, with room to spare.
  EXPECT_LT(told, steps / 2000) << ::testing::PrintToString(kinds);
  EXPECT_LT(hints, steps / 2000) << ::testing::PrintToString(kinds);
  RecordProperty("steps", std::to_string(steps));
  RecordProperty("false_alarms", std::to_string(told));
  std::printf("%ld healthy steps: %ld false alarms as they went, %ld over whole runs %s\n", steps,
              told, hints, ::testing::PrintToString(kinds).c_str());
}

TEST(DiagnosisTest, TellsTasksThatAreTooHardFromThoseThatAreTooEasy) {
  const Hint hard = OnlyTrouble({.steps = 40, .solve_from = 1e-4, .solve_to = 1e-4});
  EXPECT_EQ(hard.kind, "no_signal_hard");
  EXPECT_EQ(hard.first_step, 3) << "at once";
  EXPECT_THAT(hard.text, ::testing::EndsWith("too hard"));
  EXPECT_THAT(hard.remedy, HasSubstr("sft.examples"));
  EXPECT_THAT(hard.metrics, Contains("groups/all_wrong"));
  const Hint easy = OnlyTrouble({.steps = 40, .solve_from = 1 - 1e-4, .solve_to = 1 - 1e-4});
  EXPECT_EQ(easy.kind, "no_signal_easy");
  EXPECT_THAT(easy.text, HasSubstr("too easy"));
  const Hint split =
      OnlyTrouble({.steps = 40, .solve_from = 0.5, .solve_to = 0.5, .task_spread = 400});
  EXPECT_EQ(split.kind, "no_signal_split");
}

TEST(DiagnosisTest, SeesEntropyCollapse) {
  const Hint hint =
      OnlyTrouble({.solve_to = 0.5, .pace = 0.2, .entropy_from = 0.5, .entropy_to = 0.01});
  EXPECT_EQ(hint.kind, "entropy_collapse");
  EXPECT_GT(hint.first_step, 16);
  // Where all is solved there is nothing else to try.
  EXPECT_THAT(Told({.solve_from = 0.7,
                    .solve_to = 0.96,
                    .task_spread = 0.5,
                    .pace = 0.05,
                    .entropy_from = 0.5,
                    .entropy_to = 0.01},
                   1),
              IsEmpty());
}

TEST(DiagnosisTest, SeesLengthsCollapseAndExplodeWithoutAGain) {
  EXPECT_EQ(OnlyTrouble({.steps = 60, .solve_from = 0.4, .solve_to = 0.4, .length_to = 20}).kind,
            "length_collapse");
  EXPECT_EQ(OnlyTrouble({.steps = 60, .solve_from = 0.4, .solve_to = 0.4, .length_to = 2000}).kind,
            "length_explosion");
}

TEST(DiagnosisTest, SeesTruncationAboveAThird) {
  const Hint hint = OnlyTrouble({.truncated = 0.5});
  EXPECT_EQ(hint.kind, "truncation");
  EXPECT_EQ(hint.first_step, 3);
  EXPECT_THAT(hint.remedy, HasSubstr("rollout.max_new_tokens"));
  EXPECT_THAT(Told({.truncated = 0.25}, 1), IsEmpty());
}

TEST(DiagnosisTest, SeesAVerifierThatFails) {
  const Hint dropped = OnlyTrouble(With([](int64_t, Metrics& metrics) {
    metrics["dropped/total"] = 20;
    metrics["dropped/verifier timeout"] = 15;
    metrics["dropped/verifier unavailable"] = 5;
  }));
  EXPECT_EQ(dropped.kind, "verifier_errors");
  EXPECT_THAT(dropped.text, HasSubstr("14 % of the completions"));  // 20 of 148
  EXPECT_THAT(dropped.text, HasSubstr("most for: verifier timeout"));
  EXPECT_EQ(
      OnlyTrouble(With([](int64_t, Metrics& metrics) { metrics["verifier/retries"] = 2; })).kind,
      "verifier_retries");
}

TEST(DiagnosisTest, SeesAnswersThatTheVerifierCannotRead) {
  const Hint hint = OnlyTrouble(With([](int64_t, Metrics& metrics) {
    metrics["verdict/NO_ANSWER"] = metrics["verdict/WRONG"] + 100;
  }));
  EXPECT_EQ(hint.kind, "no_answers");
  EXPECT_EQ(OnlyTrouble(With([](int64_t step, Metrics& metrics) {
              if (step == 20) metrics["verdict/INVALID_GOLD"] = 8;
            })).kind,
            "invalid_tasks");
}

TEST(DiagnosisTest, SeesADifferenceOfLogProbsAtOnce) {
  for (const double difference : {1e-7, std::numeric_limits<double>::infinity()}) {
    const Hint hint = OnlyTrouble(With([&](int64_t step, Metrics& metrics) {
      if (step == 30) metrics["exactness/logprob_max_abs_diff"] = difference;
    }));
    EXPECT_EQ(hint.kind, "inexact");
    EXPECT_EQ(hint.first_step, 30);
  }
}

TEST(DiagnosisTest, SeesAFinishedLearningRate) {
  const Hint hint = OnlyTrouble(With([](int64_t step, Metrics& metrics) {
    if (step > 50) metrics["optimizer/learning_rate"] = 0;
  }));
  EXPECT_EQ(hint.kind, "learning_rate_finished");
  EXPECT_EQ(hint.first_step, 51);
  EXPECT_THAT(hint.remedy, HasSubstr("optimizer.schedule"));
  // A step without signal makes no update: that is not this.
  EXPECT_THAT(Told(With([](int64_t step, Metrics& metrics) {
                     if (step == 50) metrics.erase("optimizer/learning_rate");
                   }),
                   1),
              IsEmpty());
}

TEST(DiagnosisTest, SeesGradientSpikesAndSkippedUpdates) {
  const Hint spike = OnlyTrouble(With([](int64_t step, Metrics& metrics) {
    if (step == 40) metrics["optimizer/gradient_norm"] = 8;
  }));
  EXPECT_EQ(spike.kind, "gradient_spike");
  EXPECT_EQ(spike.first_step, 40);
  EXPECT_THAT(spike.text, HasSubstr("is 8,"));
  EXPECT_EQ(OnlyTrouble(With([](int64_t step, Metrics& metrics) {
              if (step == 40) metrics["optimizer/skipped_updates"] = 1;
            })).kind,
            "skipped_updates");
}

TEST(DiagnosisTest, SeesARewardThatDoesNotRiseOrThatFalls) {
  const Hint stuck = OnlyTrouble({.steps = 150, .solve_from = 0.4, .solve_to = 0.4});
  EXPECT_EQ(stuck.kind, "reward_stuck");
  EXPECT_GE(stuck.first_step, 96);
  const Hint falls = OnlyTrouble(With([](int64_t step, Metrics& metrics) {
    if (step > 60) metrics["reward/mean"] *= 0.3;
  }));
  EXPECT_EQ(falls.kind, "reward_falls");
  EXPECT_NEAR(static_cast<double>(falls.first_step), 65, 2);
}

TEST(DiagnosisTest, TellsATroubleOnceUntilItIsOver) {
  const auto at = [](std::set<int64_t> steps) {
    return With([steps](int64_t step, Metrics& metrics) {
      if (steps.contains(step)) metrics["exactness/logprob_max_abs_diff"] = 1e-3;
    });
  };
  // Calm for less than kCalmSteps, it goes on; after that it is new.
  const std::vector<Hint> told = Told(at({20, 21, 28, 60}), 1);
  EXPECT_THAT(Kinds(told), ElementsAre("inexact", "inexact"));
  EXPECT_EQ(told[0].first_step, 20);
  EXPECT_EQ(told[1].first_step, 60);
  const std::vector<Hint> whole = Diagnose(MakeSyntheticTable(at({20, 21, 28, 60}), 1), {});
  ASSERT_THAT(Kinds(whole), ElementsAre("inexact", "inexact"));
  EXPECT_EQ(whole[0].first_step, 20);
  EXPECT_EQ(whole[0].last_step, 28);
  EXPECT_EQ(whole[1].first_step, 60);
}

TEST(DiagnosisTest, SaysNothingOfRunsWithoutStepsOrCurves) {
  EXPECT_THAT(Diagnose({}, {}), IsEmpty());
  MetricTable bare;
  for (int64_t step = 1; step <= 300; ++step) bare.steps.push_back(step);
  EXPECT_THAT(Diagnose(bare, {}), IsEmpty());
  bare.values["reward/mean"] = std::vector<double>(300, std::nan(""));
  EXPECT_THAT(Diagnose(bare, {}), IsEmpty());
}

}  // namespace
}  // namespace ponder
