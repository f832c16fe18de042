#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

enum class Split { kTrain, kHeldOut };

// Where tasks come from. What step s gets depends on the seed, s and the feedback given so far
// alone, so a resumed run sees the same tasks. Not thread-safe.
class TaskSource {
 public:
  virtual ~TaskSource() = default;

  virtual std::string Describe() const = 0;  // one line for people
  // How many tasks the split holds; 0 = endless.
  virtual int64_t Size() const { return 0; }
  // The `count` tasks of step `step` (from 0). Within a step no task comes twice:
  // FAILED_PRECONDITION where the split holds fewer than `count`.
  virtual absl::StatusOr<std::vector<Task>> TasksFor(int64_t step, int64_t count) = 0;
  // Share of right completions per task of a step: for curricula. Ignored by plain sources.
  virtual void Feedback(int64_t step,
                        const std::vector<std::pair<std::string, double>>& solve_rates) {
    (void)step, (void)solve_rates;
  }
};

// A seeded generator of tasks with worked solutions. Task number i of a split is a pure function of
// (settings, seed, split, i); train and held-out can never share a question: a question's hash
// decides which split it belongs to.
struct ArithmeticSettings {
  std::string form =
      "a+b*c";  // "a+b", "a-b", "a+b*c", "a*b", "a+b-c", ...: letters a, b, c, d and + - *
  int64_t low = 10, high = 99;              // of a, b, d
  int64_t factor_low = 2, factor_high = 9;  // of an operand behind *
};
struct CountdownSettings {
  int64_t numbers = 3;  // how many are given, 2 ... 6
  int64_t low = 1, high = 20;
  int64_t target_high = 99;
};

// Options of a task source as a configuration has them.
struct TaskSourceOptions {
  std::string kind = "arithmetic";  // "arithmetic", "countdown", "file"
  ArithmeticSettings arithmetic;
  CountdownSettings countdown;
  std::string path;  // file: JSON lines
  std::string question_field = "question";
  std::string gold_field = "answer";
  std::string id_field;        // empty: "<stem>-<line number>"
  std::string solution_field;  // empty: none; GSM8K's answers hold both, see gold_after
  // "####": the gold is what follows its last occurrence in gold_field, the worked solution what
  // precedes it (without GSM8K's notes for a calculator, <<48/2=24>>).
  std::string gold_after;
  std::string verifier = "math";  // file: the tasks' kind
  uint64_t seed = 1;
  Split split = Split::kTrain;
  // Share of questions that belong to the held-out split. A file that is a split of its own has 0
  // (all of it train) or 1 (all of it held out).
  double held_out_share = 0.1;
};

// A malformed line of a file is an error with path and line number.
absl::StatusOr<std::unique_ptr<TaskSource>> CreateTaskSource(const TaskSourceOptions& options);

}  // namespace ponder
