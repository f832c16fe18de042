#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "app/judge.h"
#include "app/prompt_builder.h"
#include "base/records.h"
#include "base/status.h"
#include "rollout/group_source.h"
#include "verifiers/verifier.h"

namespace ponder {

// A share with its 95 % Wilson score interval.
struct Share {
  double value = 0;
  double low = 0;
  double high = 1;
};
Share WilsonShare(int64_t successes, int64_t trials);

// pass@k without bias from n samples of which c are right: 1 - C(n-c, k) / C(n, k) (Chen et al.
// 2021).
double PassAtK(int64_t n, int64_t c, int64_t k);

// maj@k over the first k samples: 1 where the answer given most often (the earliest among equals)
// is right. Completions without an answer do not vote.
bool MajorityIsRight(const std::vector<Verdict>& verdicts, int64_t k);

struct EvaluateOptions {
  int64_t samples = 1;  // completions a task
  uint64_t seed = 1;
  SamplingParams sampling;
};

struct Evaluation {
  std::vector<ScoredGroup>
      groups;  // one a task, in their order; those without any verdict are left out
  int64_t tasks = 0;
  int64_t completions = 0;
  int64_t correct = 0;
  int64_t formatted = 0;
  int64_t truncated = 0;
  int64_t dropped = 0;
  double mean_length = 0;
  double seconds = 0;
  Share accuracy;  // pass@1: of all completions
  Share formatted_share;
};

// Generates and judges. `version` is the policy's; `on_progress` counts completions; CANCELLED
// where `cancelled` says so.
absl::StatusOr<Evaluation> Evaluate(const std::vector<Task>& tasks, const PromptBuilder& prompts,
                                    GroupSource& source, int64_t version, Verifier& verifier,
                                    const JudgeOptions& judge, const EvaluateOptions& options,
                                    const std::function<void(int64_t, int64_t)>& on_progress,
                                    const std::function<bool()>& cancelled);

}  // namespace ponder
