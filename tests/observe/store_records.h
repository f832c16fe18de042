#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "observe/run_store.h"

namespace ponder {

// Steps for the tests of the run store: what is in one depends on phase, step and sizes alone.
struct StepSizes {
  int64_t groups = 2;
  int64_t completions = 3;
  int64_t tokens = 40;
};
StepRecord MakeStep(const std::string& phase, int64_t step, const StepSizes& sizes = {});

// Every field as it was written, bit for bit.
void ExpectHolds(const std::vector<StoredCompletion>& stored, const StepRecord& record);

// A new folder under the test's own temporary one.
std::string FreshDirectory();

}  // namespace ponder
