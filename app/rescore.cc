#include "app/rescore.h"

#include <absl/time/clock.h>

#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

constexpr size_t kBatch = 256;

bool Correct(const Verdict& verdict) { return verdict.status == VerdictStatus::kCorrect; }

void Count(const std::vector<StoredCompletion>& stored, std::vector<Verdict> verdicts,
           const RescoreOptions& options, Rescored& out) {
  RescoredStep step{.step = stored.front().step};
  for (size_t i = 0; i < stored.size(); ++i) {
    const Verdict& was = stored[i].verdict;
    Verdict& now = verdicts[i];
    if (IsFailure(now)) {
      ++out.unjudged;
      continue;
    }
    ++out.judged;
    ++out.table[{was.status, now.status}];
    ++step.completions;
    step.correct_was += Correct(was);
    step.correct_now += Correct(now);
    step.reward_was += stored[i].reward.total;
    step.reward_now += ComputeReward(options.reward, stored[i].completion, now).total;
    if (Correct(was) == Correct(now)) {
      ++out.agreed;
      continue;
    }
    ++out.disputed_count;
    if (static_cast<int64_t>(out.disputed.size()) == options.max_disputed) continue;
    out.disputed.push_back({.sample = stored[i].rowid,
                            .step = stored[i].step,
                            .task_id = stored[i].task.id,
                            .gold = stored[i].task.gold,
                            .was = was,
                            .now = std::move(now)});
  }
  if (step.completions == 0) return;
  for (double* mean : {&step.correct_was, &step.correct_now, &step.reward_was, &step.reward_now}) {
    *mean /= static_cast<double>(step.completions);
  }
  out.steps.push_back(step);
}

}  // namespace

absl::StatusOr<std::vector<Verdict>> JudgeItems(Verifier& verifier,
                                                const std::vector<VerifyItem>& items,
                                                const RescoreOptions& options) {
  std::vector<Verdict> verdicts(items.size());
  std::vector<size_t> open(items.size());
  for (size_t i = 0; i < items.size(); ++i) open[i] = i;
  for (int64_t attempt = 0; !open.empty() && attempt <= options.max_retries; ++attempt) {
    std::vector<size_t> again;
    for (size_t begin = 0; begin < open.size(); begin += kBatch) {
      const std::span<const size_t> places =
          std::span(open).subspan(begin, std::min(kBatch, open.size() - begin));
      std::vector<VerifyItem> batch;
      for (const size_t place : places) batch.push_back(items[place]);
      absl::StatusOr<std::vector<Verdict>> results =
          verifier.Verify(batch, absl::Now() + options.deadline);
      if (!results.ok() && attempt == options.max_retries) return results.status();
      if (!results.ok()) {
        if (absl::IsFailedPrecondition(results.status())) return results.status();
        again.insert(again.end(), places.begin(), places.end());
        continue;
      }
      for (size_t i = 0; i < places.size(); ++i) {
        if (IsFailure((*results)[i])) again.push_back(places[i]);
        verdicts[places[i]] = std::move((*results)[i]);
      }
    }
    open = std::move(again);
  }
  return verdicts;
}

absl::StatusOr<Rescored> RescoreRun(RunStore& store, Verifier& verifier,
                                    const RescoreOptions& options,
                                    const std::function<void(int64_t, int64_t)>& on_progress) {
  PONDER_ASSIGN_OR_RETURN(const int64_t last, store.LastStep(options.phase));
  Rescored out;
  for (int64_t step = 0; step <= last; ++step) {
    // Evaluations have a step 0; a step at a time, so that a long run needs little memory.
    PONDER_ASSIGN_OR_RETURN(const std::vector<StoredCompletion> stored,
                            store.ReadCompletions(options.phase, step));
    if (!stored.empty()) {
      std::vector<VerifyItem> items;
      for (const StoredCompletion& one : stored) items.push_back({one.task, one.completion.text});
      PONDER_ASSIGN_OR_RETURN(std::vector<Verdict> verdicts, JudgeItems(verifier, items, options));
      Count(stored, std::move(verdicts), options, out);
    }
    on_progress(step + 1, last + 1);
  }
  if (out.judged + out.unjudged == 0) {
    return NotFound("the run has no completions of the phase \"{}\"", options.phase);
  }
  return out;
}

}  // namespace ponder
