#include "tests/app/stored_run.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/observe/store_records.h"

namespace ponder {

void WriteStoredRun(const std::string& folder, int64_t steps, int64_t steps_planned,
                    const std::string& settings) {
  ASSERT_TRUE(MakeDirectories(folder).ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/config.toml",
                                  fmt::format("[run]\nsteps = {}\n{}", steps_planned, settings))
                  .ok());
  const auto store = RunStore::Open(folder + "/run.db", RunStore::Mode::kCreate);
  ASSERT_TRUE(store.ok()) << store.status();
  for (int64_t step = 1; step <= steps; ++step) {
    StepRecord record = MakeStep("train", step);
    record.metrics = {{"reward/mean", 0.1 * static_cast<double>(step)}, {"length/mean", 40}};
    // A question that would clear the screen, and rewards that differ.
    record.groups[0].group.task.question = "what\033[2J is it?";
    for (size_t i = 0; i < record.groups[0].rewards.size(); ++i) {
      record.groups[0].rewards[i].total = static_cast<double>(i);
    }
    ASSERT_TRUE((*store)->WriteStep(record).ok());
  }
  StepRecord evaluation{.step = steps, .phase = "eval/train"};
  evaluation.metrics = {{"eval/greedy_accuracy", 0.5},
                        {"eval/greedy_accuracy_low", 0.4},
                        {"eval/greedy_accuracy_high", 0.6}};
  ASSERT_TRUE((*store)->WriteStep(evaluation).ok());
  ASSERT_TRUE((*store)
                  ->WriteEvent({.step = steps, .kind = "checkpoint", .message = "step, \"last\""})
                  .ok());
}

}  // namespace ponder
