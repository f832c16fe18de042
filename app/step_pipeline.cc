#include "app/step_pipeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace ponder {
namespace {

// Between looks at `cancelled` while only verdicts are missing; the last of them ends the wait.
constexpr absl::Duration kLookAround = absl::Milliseconds(20);

}  // namespace

StepPipeline::StepPipeline(Parts parts) : parts_(std::move(parts)), judge_([this] { Judge(); }) {}

StepPipeline::~StepPipeline() {
  std::vector<GroupSource::BatchId> batches;
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
    for (const auto& [step, flight] : flights_) batches.push_back(flight.batch);
  }
  // What the source cannot take back any more concerns nobody: the run is over.
  for (const GroupSource::BatchId batch : batches) parts_.groups->End(batch).IgnoreError();
  judge_.join();
}

absl::Status StepPipeline::Begin(int64_t step, std::vector<GroupRequest> requests,
                                 int64_t version) {
  {
    absl::MutexLock lock(&mutex_);
    PONDER_CHECK(flights_.empty() || flights_.rbegin()->first < step);
    Flight& flight = flights_[step];
    flight.open = std::ssize(requests);
    flight.judged.resize(requests.size());
  }
  const absl::StatusOr<GroupSource::BatchId> batch =
      parts_.groups->Begin({.requests = std::move(requests),
                            .version = version,
                            .on_group = [this, step](size_t index, Group group) {
                              absl::MutexLock lock(&mutex_);
                              flights_.at(step).generated.emplace_back(index, std::move(group));
                            }});
  absl::MutexLock lock(&mutex_);
  if (batch.ok()) {
    flights_.at(step).batch = *batch;
  } else {
    flights_.erase(step);
  }
  return batch.status();
}

absl::StatusOr<CollectedStep> StepPipeline::Collect(
    int64_t step, const std::function<void(int64_t done, int64_t total)>& on_progress,
    const std::function<bool()>& cancelled) {
  GroupSource::BatchId batch = 0;
  {
    absl::MutexLock lock(&mutex_);
    PONDER_CHECK(!flights_.empty() && flights_.begin()->first == step);
    batch = flights_.begin()->second.batch;
  }
  CollectedStep collected;
  PONDER_RETURN_IF_ERROR(AwaitVerdicts(step, batch, collected, on_progress, cancelled));
  PONDER_ASSIGN_OR_RETURN(collected.stats, parts_.groups->End(batch));
  absl::MutexLock lock(&mutex_);
  for (std::optional<JudgedGroup>& group : flights_.at(step).judged)
    collected.groups.push_back(*std::move(group));
  flights_.erase(step);
  return collected;
}

absl::Status StepPipeline::AwaitVerdicts(int64_t step, GroupSource::BatchId batch,
                                         CollectedStep& collected,
                                         const std::function<void(int64_t, int64_t)>& on_progress,
                                         const std::function<bool()>& cancelled) {
  const absl::Time started = parts_.clock->Now();
  std::optional<absl::Time> generated;
  int64_t shown = 0;
  const auto is_over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !judge_status_.ok() || flights_.at(step).open == 0;
  };
  while (true) {
    const BatchProgress progress = parts_.groups->Progress(batch);
    if (on_progress && progress.done != shown) on_progress(progress.done, progress.total);
    shown = progress.done;
    if (progress.Whole() && !generated.has_value()) generated = parts_.clock->Now();
    {
      absl::MutexLock lock(&mutex_);
      PONDER_RETURN_IF_ERROR(judge_status_);
      if (is_over()) break;
    }
    if (cancelled && cancelled()) {
      return absl::CancelledError(fmt::format("step {} was cancelled after {} of {} completions",
                                              step, progress.done, progress.total));
    }
    PONDER_ASSIGN_OR_RETURN(const bool worked, parts_.groups->Work());
    if (worked) continue;
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&is_over), kLookAround);
  }
  const absl::Time now = parts_.clock->Now();
  collected.generate_s = absl::ToDoubleSeconds(generated.value_or(now) - started);
  collected.verdicts_s = absl::ToDoubleSeconds(now - generated.value_or(now));
  return absl::OkStatus();
}

std::map<int64_t, StepPipeline::Flight>::value_type* StepPipeline::NextToJudge() {
  const auto place = std::ranges::find_if(
      flights_, [](const auto& flight) { return !flight.second.generated.empty(); });
  return place == flights_.end() ? nullptr : &*place;
}

void StepPipeline::Judge() {
  while (true) {
    int64_t step = 0;
    std::pair<size_t, Group> item;
    {
      absl::MutexLock lock(&mutex_);
      const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return ending_ || NextToJudge() != nullptr;
      };
      mutex_.Await(absl::Condition(&has_work));
      if (ending_) return;
      auto& [oldest, flight] = *NextToJudge();
      step = oldest;
      item = std::move(flight.generated.front());
      flight.generated.pop_front();
    }
    absl::StatusOr<JudgedGroup> result =
        JudgeGroup(*parts_.verifier, std::move(item.second), parts_.judge, *parts_.clock);
    bool is_news = !result.ok();
    {
      absl::MutexLock lock(&mutex_);
      if (result.ok()) {
        Flight& flight = flights_.at(step);
        flight.judged[item.first] = *std::move(result);
        is_news = --flight.open == 0;
      } else {
        judge_status_ = result.status();
      }
    }
    if (!is_news) continue;
    parts_.groups->Wake();
    if (!result.ok()) return;
  }
}

}  // namespace ponder
