#pragma once

#include <absl/time/time.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "verifiers/math/answer_check.h"

namespace ponder::math {

struct AlgebraWorkersOptions {
  std::string program;  // ponder-math-worker; empty: beside this program
  absl::Duration time_limit = absl::Milliseconds(80);  // processor time of one check
  int64_t memory_limit_bytes = int64_t{768} << 20;
};

// Processes that hold answers against golds with the whole algebra, so that what makes a library
// abort or run away costs one check and one process. They start when they are needed and end with
// this object or with this process. Thread-safe: every thread gets a process of its own.
class AlgebraWorkers {
 public:
  virtual ~AlgebraWorkers() = default;

  // DEADLINE_EXCEEDED where the check computed longer than its limit, RESOURCE_EXHAUSTED where the
  // process died in it, INTERNAL where none could be started or it did not get to compute.
  virtual absl::StatusOr<AnswerCheck> Check(std::string_view gold, std::string_view answer,
                                            const CompareOptions& options) = 0;
};
std::unique_ptr<AlgebraWorkers> CreateAlgebraWorkers(AlgebraWorkersOptions options = {});

}  // namespace ponder::math
