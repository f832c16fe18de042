#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/run_store.h"

namespace ponder {

// A completion as lists show it; everything else comes by ReadCompletion.
struct SampleSummary {
  int64_t sample = 0;  // the SAMPLE of `ponder replay`
  int64_t group = 0;
  std::string phase;
  int64_t step = 0;
  std::string task_id;
  int64_t sample_index = 0;  // place in the group
  VerdictStatus status = VerdictStatus::kUnspecified;
  double score = 0;
  double reward = 0;
  double advantage = 0;
  int64_t tokens = 0;
  FinishReason finish = FinishReason::kUnspecified;
  int64_t clipped_tokens = 0;  // whose gradient the clip cut off
  std::string extracted;
  std::string reason;
  std::string excerpt;  // the end of the text, at most kExcerptCharacters
};

struct GroupSummary {
  int64_t group = 0;
  std::string phase;
  int64_t step = 0;
  int64_t position = 0;  // in its step, from 0
  Task task;             // without data and solution
  int64_t prompt_tokens = 0;
  double temperature = 0;
  std::vector<SampleSummary> samples;  // in the order of their index
};

// Which samples are wanted; an empty field asks for nothing.
struct SampleFilter {
  std::string phase = "train";
  std::optional<int64_t> first_step, last_step;
  std::string task_id;
  std::string task_kind;
  std::optional<VerdictStatus> status;
  std::optional<FinishReason> finish;
  std::optional<double> reward_low, reward_high;   // both included
  std::optional<int64_t> tokens_low, tokens_high;  // both included
  std::string text;  // in the completion or the question, whatever its ASCII case
  std::string marked_part_prefix,
      marked_part_suffix;  // of a verdict's part that is 1, if not empty
};

enum class SampleOrder { kStep, kRewardUp, kRewardDown, kLengthUp, kLengthDown };

struct SampleList {
  std::vector<SampleSummary> samples;
  bool more = false;  // there are others behind the limit
  // The search took longer than it may and `samples` holds what was found before.
  bool cut_short = false;
};

// Metrics of a phase as columns: values[name][i] is of steps[i], NaN where that step has none.
struct MetricTable {
  std::vector<int64_t> steps;
  std::map<std::string, std::vector<double>> values;
};

struct StepInfo {
  std::string phase;
  int64_t step = 0;
  int64_t policy_version = 0;
  std::string written_at;  // UTC, "2026-01-31T12:00:00.000Z"
};

struct TimedEvent {
  int64_t id = 0;
  EventRecord event;
  std::string written_at;
};

// A reading of the machine: "cpu/percent" of "learner", ...
struct TimedReading {
  int64_t id = 0;
  std::string written_at;
  std::string source;
  std::string name;
  double value = 0;
};

// Looks at a run's store for pages and lists, while it is written or afterwards. What is big
// (token arrays) is read only where a function says so. One thread at a time; open one for each
// thread. Errors as RunStore's.
class RunReader {
 public:
  static constexpr int64_t kExcerptCharacters = 240;
  static constexpr int64_t kMostWorkers = 200;

  static absl::StatusOr<std::unique_ptr<RunReader>> Open(const std::string& path);
  virtual ~RunReader() = default;

  // Grows with every write to the store: nothing has changed where it is equal.
  virtual absl::StatusOr<int64_t> ChangeCount() = 0;

  virtual absl::StatusOr<std::optional<std::string>> GetInfo(const std::string& key) = 0;
  virtual absl::StatusOr<RunState> State() = 0;
  // All phases, in the order they were written.
  virtual absl::StatusOr<std::vector<StepInfo>> Steps() = 0;
  // Steps after `after`; all names where `names` is empty.
  virtual absl::StatusOr<MetricTable> Metrics(const std::string& phase, int64_t after,
                                              const std::vector<std::string>& names) = 0;
  virtual absl::StatusOr<std::vector<TimedEvent>> Events(int64_t after_id) = 0;
  // Those that are here, then those that have gone, the last one first; kMostWorkers in all.
  virtual absl::StatusOr<std::vector<WorkerRecord>> Workers() = 0;
  // The newest `limit` behind `after_id`, oldest first.
  virtual absl::StatusOr<std::vector<TimedReading>> Readings(int64_t after_id, int64_t limit) = 0;

  // A step's groups with all their samples.
  virtual absl::StatusOr<std::vector<GroupSummary>> Groups(const std::string& phase,
                                                           int64_t step) = 0;
  virtual absl::StatusOr<GroupSummary> GroupOf(int64_t sample) = 0;
  // The task's groups in all phases, oldest step first; the newest `limit`.
  virtual absl::StatusOr<std::vector<GroupSummary>> TaskHistory(const std::string& task_id,
                                                                int64_t limit) = 0;
  // At most `limit` after passing over `offset`; ends early after `time_limit`.
  virtual absl::StatusOr<SampleList> FindSamples(const SampleFilter& filter, SampleOrder order,
                                                 int64_t offset, int64_t limit,
                                                 absl::Duration time_limit) = 0;

  // Whole, with token arrays. NOT_FOUND where there is none.
  virtual absl::StatusOr<StoredCompletion> ReadCompletion(int64_t sample) = 0;
  // Text of each token id as the tokenizer has it (bytes, not always whole characters); empty where
  // the store has none.
  virtual absl::StatusOr<std::vector<std::string>> Vocabulary() = 0;
};

}  // namespace ponder
