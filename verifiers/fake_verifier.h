#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "verifiers/verifier.h"

namespace ponder {

// A verifier for tests: says what it was told. Without instructions an item is CORRECT (score 1,
// "format" 1) where its completion contains the gold, else WRONG. Thread-safe.
class FakeVerifier : public Verifier {
 public:
  using Judge = std::function<Verdict(const VerifyItem&)>;

  FakeVerifier() = default;
  explicit FakeVerifier(Judge judge) : judge_(std::move(judge)) {}
  ~FakeVerifier() override { Release(); }

  // The next call returns this, even where it has the wrong number of verdicts; several queue up.
  void NextCallReturns(absl::StatusOr<std::vector<Verdict>> result) {
    absl::MutexLock lock(&mutex_);
    script_.push_back(std::move(result));
  }
  // Calls from now on wait until Release, whatever their deadline says, as a hanging process does.
  void Hang() {
    absl::MutexLock lock(&mutex_);
    hanging_ = true;
  }
  void Release() {
    absl::MutexLock lock(&mutex_);
    hanging_ = false;
  }
  // Waits until `count` calls have begun; false where they have not within ten seconds.
  bool WaitForCalls(int64_t count) const {
    absl::MutexLock lock(&mutex_);
    const auto begun = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return static_cast<int64_t>(batches_.size()) >= count;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&begun), absl::Seconds(10));
  }
  // The sizes of the batches of all calls so far.
  std::vector<int64_t> Batches() const {
    absl::MutexLock lock(&mutex_);
    return batches_;
  }
  void SetDescription(VerifierDescription description) {
    absl::MutexLock lock(&mutex_);
    description_ = std::move(description);
  }

  VerifierDescription Describe() const override {
    absl::MutexLock lock(&mutex_);
    return description_;
  }

  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time) override {
    absl::MutexLock lock(&mutex_);
    batches_.push_back(static_cast<int64_t>(batch.size()));
    const auto released = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !hanging_; };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&released), absl::Minutes(5))) {
      return Internal("a test left its fake verifier hanging");
    }
    if (!script_.empty()) {
      absl::StatusOr<std::vector<Verdict>> result = std::move(script_.front());
      script_.pop_front();
      return result;
    }
    std::vector<Verdict> verdicts;
    for (const VerifyItem& item : batch) verdicts.push_back(judge_(item));
    return verdicts;
  }

 private:
  static Verdict JudgeByGold(const VerifyItem& item) {
    const bool right = item.completion.find(item.task.gold) != std::string::npos;
    return {.status = right ? VerdictStatus::kCorrect : VerdictStatus::kWrong,
            .score = right ? 1.0 : 0.0,
            .parts = {{"format", 1.0}},
            .extracted = item.completion,
            .reason = "looked for the gold in the completion"};
  }

  mutable absl::Mutex mutex_;
  const Judge judge_ = JudgeByGold;
  VerifierDescription description_ ABSL_GUARDED_BY(mutex_){.name = "fake", .version = "1"};
  std::deque<absl::StatusOr<std::vector<Verdict>>> script_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> batches_ ABSL_GUARDED_BY(mutex_);
  bool hanging_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ponder
