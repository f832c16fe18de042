#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "app/bench_report.h"
#include "app/session.h"
#include "base/status.h"

namespace ponder {

// Sizes of the work that is measured. Prompts are random ids, answers run to their full length.
struct BenchSpeedOptions {
  SessionOptions session;
  std::vector<int64_t> batches = {1, 8, 64, 256};  // sequences at once (rollout)
  int64_t prompts = 8;                             // of a step (learner, step)
  int64_t completions = 8;                         // G of a prompt
  int64_t prompt_tokens = 64;
  int64_t new_tokens = 128;
  int64_t micro_batch_tokens = 2048;
  int64_t repeats = 5;
};

using BenchReport = std::function<void(const BenchRow& row)>;

// Every figure stands beside what the machine could do in the same seconds: its probes are taken
// anew before each repetition and reported at the end ("probe_read", "probe_matrix"), with the most
// memory that the process held ("rss", GB). `completions` = 1 gives each sequence a prompt of its
// own.
//
// Rows for each batch B: "prefill B=…" and "decode B=…" in tokens a second, "rollout B=…" in output
// tokens a second over both.
absl::Status BenchRollout(const BenchSpeedOptions& options, const BenchReport& report);

// "train": rows a second through forward, losses, backward and optimizer, of groups that all carry
// a gradient; a prompt counts once a group. "rss": the process's peak in GB.
absl::Status BenchLearner(const BenchSpeedOptions& options, const BenchReport& report);

// "step": GRPO steps an hour, generation and update, with both parts beside ("step_generate" in
// output tokens, "step_learn" in rows a second); "exactness": the largest difference between the
// sampler's and the learner's log-probs.
absl::Status BenchStep(const BenchSpeedOptions& options, const BenchReport& report);

}  // namespace ponder
