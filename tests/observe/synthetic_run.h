#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/random.h"
#include "observe/metric_sink.h"
#include "observe/run_reader.h"

namespace ponder {

// How a made-up run goes from its first step to its last. `pace` is the share of the run after
// which two thirds of the way are done.
struct SyntheticRun {
  int64_t steps = 200;
  int64_t groups = 16;
  int64_t completions = 8;
  double solve_from = 0.3, solve_to = 0.7;  // chance of a right answer
  double task_spread = 1.2;                 // of the tasks' difficulty, in logits
  double pace = 0.4;
  double length_from = 200, length_to = 220;
  double entropy_from = 0.4, entropy_to = 0.12;
  double truncated = 0.03;
  double format = 0.95;
  double gradient = 0.4;

  // Changes a step's metrics after they are made: what goes wrong.
  std::function<void(int64_t step, Metrics&)> trouble;
};

// A step's metrics as a run of that shape would log them: rewards of simulated groups, log-normal
// lengths and gradient norms, now and then a heavy batch, a retry, a dropped completion.
Metrics MakeSyntheticStep(const SyntheticRun& run, int64_t step, RandomStream& random);

// All steps as a table; the same for a seed.
MetricTable MakeSyntheticTable(const SyntheticRun& run, uint64_t seed);

}  // namespace ponder
