#include "app/judge.h"

#include <algorithm>

#include "verifiers/verdict_check.h"

namespace ponder {

absl::StatusOr<JudgedGroup> JudgeGroup(Verifier& verifier, Group group, const JudgeOptions& options,
                                       Clock& clock) {
  const absl::Time started = clock.Now();
  JudgedGroup judged;
  std::vector<Verdict> verdicts(group.completions.size());
  std::vector<size_t> open;
  for (size_t i = 0; i < group.completions.size(); ++i) {
    if (group.completions[i].finish == FinishReason::kError ||
        group.completions[i].finish == FinishReason::kCancelled) {
      verdicts[i] = {.status = VerdictStatus::kInternal, .reason = "generation did not finish"};
    } else {
      open.push_back(i);
    }
  }
  std::string reason = "verifier failed";
  std::string words;
  for (int64_t attempt = 0; !open.empty() && attempt <= options.max_retries; ++attempt) {
    if (attempt > 0) {
      ++judged.retries;
      if (options.wait) options.wait(absl::Milliseconds(250) * attempt);
    }
    std::vector<VerifyItem> batch;
    batch.reserve(open.size());
    for (size_t i : open) batch.push_back({group.task, group.completions[i].text});
    absl::StatusOr<std::vector<Verdict>> results =
        verifier.Verify(batch, clock.Now() + options.deadline);
    if (!results.ok()) {
      if (absl::IsFailedPrecondition(results.status())) return results.status();
      reason =
          absl::IsDeadlineExceeded(results.status()) ? "verifier timeout" : "verifier unavailable";
      words = std::string(results.status().message());
      continue;
    }
    if (results->size() != batch.size()) {
      reason = "verifier returned a wrong number of verdicts";
      words = fmt::format("expected {}, found {}", batch.size(), results->size());
      continue;
    }
    std::vector<size_t> again;
    for (size_t k = 0; k < open.size(); ++k) {
      if (IsFailure((*results)[k])) {
        reason = "verifier internal error";
        words = (*results)[k].reason;
        again.push_back(open[k]);
      }
      verdicts[open[k]] = std::move((*results)[k]);
    }
    open = std::move(again);
  }
  std::vector<bool> lost(verdicts.size(), false);
  for (size_t i : open) lost[i] = true;
  judged.group = std::move(group);
  std::vector<Completion> kept;
  for (size_t i = 0; i < verdicts.size(); ++i) {
    Completion& completion = judged.group.completions[i];
    if (completion.finish == FinishReason::kError ||
        completion.finish == FinishReason::kCancelled) {
      ++judged.dropped["generation " + std::string(ToString(completion.finish))];
    } else if (lost[i]) {
      ++judged.dropped[reason];
      judged.words[reason] = words;
    } else {
      kept.push_back(std::move(completion));
      judged.verdicts.push_back(std::move(verdicts[i]));
    }
  }
  judged.group.completions = std::move(kept);
  judged.seconds = absl::ToDoubleSeconds(clock.Now() - started);
  return judged;
}

}  // namespace ponder
