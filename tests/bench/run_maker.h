#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "observe/run_store.h"

namespace ponder {

// Runs that look like real ones, for measuring and for trying the dashboard: the reward rises with
// the steps, answers grow shorter, tasks come again each epoch. What is in a step depends on its
// number and the sizes alone.
struct MadeRunSizes {
  int64_t steps = 1000;
  int64_t groups = 64;
  int64_t completions = 8;  // of a group
  int64_t tokens = 512;     // of a completion, on average; 0.5 ... 1.5 of it
};

StepRecord MakeRunStep(const MadeRunSizes& sizes, int64_t step);

// Text of each token id that MakeRunStep uses.
std::vector<std::string> MadeVocabulary();

}  // namespace ponder
