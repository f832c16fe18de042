#include "base/rank_threads.h"

#include "base/check.h"

namespace ponder {

RankThreads::RankThreads(int64_t ranks) {
  PONDER_CHECK(ranks >= 1);
  outcomes_.resize(static_cast<size_t>(ranks));
  for (int64_t rank = 1; rank < ranks; ++rank) threads_.emplace_back([this, rank] { Loop(rank); });
}

RankThreads::~RankThreads() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status RankThreads::Run(const std::function<absl::Status(int64_t rank)>& body,
                              const std::function<void(const absl::Status&)>& on_failure) {
  const Task task = [&](int64_t rank) -> Outcome {
    Outcome outcome;
    try {
      outcome.status = body(rank);
    } catch (const std::exception& error) {
      outcome = {Internal("rank {}: {}", rank, error.what()), std::current_exception()};
    } catch (...) {
      outcome = {Internal("rank {} failed", rank), std::current_exception()};
    }
    if (!outcome.status.ok() && on_failure) on_failure(outcome.status);
    return outcome;
  };
  {
    absl::MutexLock lock(&mutex_);
    PONDER_CHECK(running_ == 0);
    task_ = &task;
    running_ = std::ssize(threads_);
    ++round_;
  }
  outcomes_[0] = task(0);
  absl::MutexLock lock(&mutex_);
  const auto is_done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
  mutex_.Await(absl::Condition(&is_done));
  for (const Outcome& outcome : outcomes_) {
    if (outcome.exception) std::rethrow_exception(outcome.exception);
  }
  for (const Outcome& outcome : outcomes_) PONDER_RETURN_IF_ERROR(outcome.status);
  return absl::OkStatus();
}

void RankThreads::Loop(int64_t rank) {
  int64_t done = 0;
  while (true) {
    const Task* task = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      const auto has_news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stop_ || round_ > done;
      };
      mutex_.Await(absl::Condition(&has_news));
      if (stop_) return;
      done = round_;
      task = task_;
    }
    outcomes_[static_cast<size_t>(rank)] = (*task)(rank);
    absl::MutexLock lock(&mutex_);
    --running_;
  }
}

}  // namespace ponder
