#pragma once

#include <cstdint>
#include <limits>
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
  // Of each token of each completion of each group, what the clip did in any update of the step:
  // -1 cut off below, 1 above, 0 not. Empty at any level: nowhere.
  std::vector<std::vector<std::vector<int8_t>>> clips;
};

struct EventRecord {
  int64_t step = 0;
  std::string kind;  // "checkpoint", "verifier_restarted", "update_skipped", "resumed", ...
  std::string message;
};

// What a run is doing; the newest is kept.
struct RunState {
  std::string activity;  // "starting", "cold start", "evaluating", "generating", "verifying",
                         // "learning", "finished", "stopped", "failed"
  int64_t step = 0;      // under way, from 1; 0 before the first
  int64_t steps = 0;     // of the whole run
  int64_t done = 0;      // of the activity: completions, updates
  int64_t total = 0;     // 0: not known
  int64_t workers = 0;
  double left_s = 0;       // until the run's end; NaN: not known
  std::string detail;      // why it failed, which evaluation
  std::string written_at;  // UTC; filled in by the store
};

// A process that works for the run, as last seen.
struct WorkerRecord {
  std::string name;      // unique within the run
  std::string role;      // "learner", "rollout", "verifier"
  std::string software;  // what it runs, with its version
  std::string address;
  std::string numerics;  // fingerprint
  int64_t policy_version = 0;
  int64_t running = 0;  // completions, or items of a verifier, under way
  int64_t waiting = 0;
  // Share in use, 0 to 1: of a learner's time, of a rollout worker's places. NaN: not known.
  double busy = std::numeric_limits<double>::quiet_NaN();
  // Since it joined: tokens learnt from, completions generated, items judged.
  int64_t done = 0;
  int64_t restarts = 0;
  std::string state;       // "working", "idle"; gone: "lost", "left"
  std::string last_words;  // why it is gone, or was started again
  std::string joined_at;   // UTC; both are filled in by the store
  std::string seen_at;

  bool IsHere() const { return state != "lost" && state != "left"; }
};

// One number read off the machine: source "learner", name "cpu/percent", ...
struct Reading {
  std::string source;
  std::string name;
  double value = 0;
};

struct StoredMetric {
  int64_t step;
  std::string name;
  double value;
};

struct StoredCompletion {
  int64_t rowid = 0;  // the SAMPLE of `ponder replay`
  int64_t group = 0;  // the same for all of a group
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
  std::string phase;
  std::vector<int8_t> clips;  // [T] as in StepRecord, or empty
};

// RUN/run.db: SQLite in WAL mode, the truth about a run. One writer; readers may open it at any
// time. A store of an older schema is brought up to date when it is opened, for reading too.
// Not thread-safe.
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
  virtual absl::Status WriteStep(StepRecord record) = 0;
  virtual absl::Status WriteEvent(const EventRecord& event) = 0;
  virtual absl::Status WriteState(const RunState& state) = 0;
  // By name: the first sight of a worker is when it joined.
  virtual absl::Status WriteWorkers(const std::vector<WorkerRecord>& workers) = 0;
  // Whoever is still here by the store is "lost", with these last words; as seen last.
  virtual absl::Status LoseWorkers(const std::string& last_words) = 0;
  virtual absl::Status WriteReadings(const std::vector<Reading>& readings) = 0;
  // Text of each token id, in any bytes.
  virtual absl::Status WriteVocabulary(const std::vector<std::string>& pieces) = 0;
  // Returns once all that was written before is in the file; what went wrong with it.
  virtual absl::Status Flush() { return absl::OkStatus(); }
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
