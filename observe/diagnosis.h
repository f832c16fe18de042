#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "observe/hint.h"
#include "observe/metric_sink.h"
#include "observe/run_reader.h"

namespace ponder {

// Watches a run's training steps and says in words what goes wrong with it, while it does.
class Diagnosis {
 public:
  // A trouble that has not shown for so many steps is over: it is told again when it comes back.
  static constexpr int64_t kCalmSteps = 16;

  // Steps in their order. Returns the troubles that begin with this one; each is told once until it
  // is over.
  std::vector<Hint> Add(int64_t step, const Metrics& metrics);

 private:
  MetricTable table_;
  std::map<std::string, int64_t> seen_;  // rows before which a trouble showed last
};

// The same over a whole run: each trouble with the steps from its begin to its end, in order of
// their begin. Then what hints at reward hacking over the run (observe/reward_hacking.h), from the
// training steps and the evaluations on held-out tasks.
std::vector<Hint> Diagnose(const MetricTable& train, const MetricTable& eval);

}  // namespace ponder
