#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/run_reader.h"

namespace ponder {

// A share of held-out tasks with its 95 % interval.
struct StoredShare {
  double value = 0;
  double low = 0;
  double high = 0;
};

// What a list says about a run.
struct RunSummary {
  std::string path;
  std::string status;  // "running", "finished", "stopped", "failed"; "unreadable": see `fault`
  std::string activity;
  int64_t step = 0;
  int64_t steps = 0;                    // 0: not known
  std::vector<double> rewards;          // by step
  std::optional<StoredShare> accuracy;  // of the newest evaluation: greedy, else sampled
  int64_t accuracy_step = 0;
  std::optional<absl::Time> written_at;  // its newest step, else its configuration
  uint64_t bytes = 0;
  std::string fault;
};

// Always gives a summary: a run that cannot be read has its fault in words.
RunSummary SummarizeRun(const std::string& path);

// The run's store. NOT_FOUND names runs near by whose names are near.
absl::StatusOr<std::unique_ptr<RunReader>> OpenRun(const std::string& path);

// One completion with everything; NOT_FOUND says how to find samples of the run at `path`.
absl::StatusOr<StoredCompletion> ReadSample(RunReader& reader, const std::string& path,
                                            int64_t sample);

// OK where the store has steps of that phase; else NOT_FOUND with the phases it has.
absl::Status CheckPhase(const std::vector<StepInfo>& steps, const std::string& phase);

// The metric of a phase by step, missing values left out.
struct MetricSeries {
  std::vector<int64_t> steps;
  std::vector<double> values;
};
absl::StatusOr<MetricSeries> ReadSeries(RunReader& reader, const std::string& phase,
                                        const std::string& name);

}  // namespace ponder
