#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "observe/metric_sink.h"

namespace ponder {

// Everything a step leaves behind; written in one transaction.
struct StepRecord {
  int64_t step = 0;             // from 1
  int64_t policy_version = 0;   // after the step
  std::string phase = "train";  // "sft", "train", "eval"
  Metrics metrics;
  std::vector<ScoredGroup> groups;
};

struct EventRecord {
  int64_t step = 0;
  std::string kind;  // "checkpoint", "verifier_restarted", "update_skipped", "resumed", ...
  std::string message;
};

struct StoredMetric {
  int64_t step;
  std::string name;
  double value;
};

struct StoredCompletion {
  int64_t rowid = 0;  // the SAMPLE of `ponder replay`
  int64_t step = 0;
  Task task;
  std::string prompt;
  std::vector<int32_t> prompt_ids;
  uint64_t seed = 0;
  float temperature = 1;
  Completion completion;
  Verdict verdict;
  Reward reward;
  float advantage = 0;
};

// RUN/run.db: SQLite in WAL mode, the truth about a run. One writer; readers may open it at any
// time. Not thread-safe.
class RunStore {
 public:
  enum class Mode { kCreate, kAppend, kRead };
  // kCreate fails where a store exists; kAppend and kRead fail where none does or its schema is of
  // another version.
  static absl::StatusOr<std::unique_ptr<RunStore>> Open(const std::string& path, Mode mode);
  virtual ~RunStore() = default;

  virtual absl::Status SetInfo(const std::string& key, const std::string& value) = 0;
  virtual absl::StatusOr<std::optional<std::string>> GetInfo(const std::string& key) = 0;
  // ALREADY_EXISTS where the step of that phase is there.
  virtual absl::Status WriteStep(const StepRecord& record) = 0;
  virtual absl::Status WriteEvent(const EventRecord& event) = 0;
  // Removes the steps of a phase after `step` (a resumed run does them again, identically).
  virtual absl::Status TruncateAfter(const std::string& phase, int64_t step) = 0;

  virtual absl::StatusOr<int64_t> LastStep(const std::string& phase) = 0;  // 0 = none
  virtual absl::StatusOr<std::vector<StoredMetric>> ReadMetrics(const std::string& phase) = 0;
  virtual absl::StatusOr<std::vector<EventRecord>> ReadEvents() = 0;
  virtual absl::StatusOr<std::vector<StoredCompletion>> ReadCompletions(const std::string& phase,
                                                                        int64_t step) = 0;
  virtual absl::StatusOr<StoredCompletion> ReadCompletion(int64_t rowid) = 0;
  // Those with a part of their verdict, called `prefix`...`suffix`, that is 1; the first `limit` in
  // order of their steps.
  virtual absl::StatusOr<std::vector<StoredCompletion>> ReadMarked(const std::string& phase,
                                                                   const std::string& prefix,
                                                                   const std::string& suffix,
                                                                   int64_t limit) = 0;
};

}  // namespace ponder
