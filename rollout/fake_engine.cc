#include "rollout/fake_engine.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <limits>
#include <utility>

namespace ponder {
namespace {

class FakeEngine : public RolloutEngine {
 public:
  explicit FakeEngine(FakeEngineOptions options) : options_(std::move(options)) {}

  EngineCapabilities Capabilities() const override {
    return {.fingerprint = options_.fingerprint,
            .max_sequences = options_.completions_per_step,
            .max_positions = std::numeric_limits<int64_t>::max()};
  }

  absl::Status Submit(RolloutRequest request) override {
    if (request.prompt_ids.empty()) return InvalidArgument("the prompt is empty");
    if (request.sample_count < 1) return InvalidArgument("expected one sample at least");
    absl::MutexLock lock(&mutex_);
    const auto shared = std::make_shared<const RolloutRequest>(std::move(request));
    for (int64_t i = 0; i < shared->sample_count; ++i)
      waiting_.push_back({shared, shared->sample_begin + i});
    return absl::OkStatus();
  }

  void Cancel(uint64_t request_id) override {
    absl::MutexLock lock(&mutex_);
    for (auto place = waiting_.begin(); place != waiting_.end();) {
      if (place->request->id != request_id) {
        ++place;
        continue;
      }
      Completion completion;
      completion.sample_index = place->sample_index;
      completion.finish = FinishReason::kCancelled;
      finished_.push_back({request_id, std::move(completion)});
      place = waiting_.erase(place);
    }
  }

  absl::StatusOr<bool> Step() override {
    for (int64_t i = 0; i < options_.completions_per_step; ++i) {
      absl::ReleasableMutexLock lock(&mutex_);
      if (waiting_.empty()) return i > 0;
      const Item item = std::move(waiting_.front());
      waiting_.pop_front();
      const int64_t version = version_;
      lock.Release();
      Completion completion = Complete(item, version);
      absl::MutexLock again(&mutex_);
      load_.prefill_tokens += std::ssize(item.request->prompt_ids);
      load_.decode_tokens += std::ssize(completion.token_ids);
      finished_.push_back({item.request->id, std::move(completion)});
    }
    return true;
  }

  std::vector<RolloutResult> Poll() override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(finished_, {});
  }

  EngineLoad Load() const override {
    absl::MutexLock lock(&mutex_);
    EngineLoad load = load_;
    load.waiting = std::ssize(waiting_);
    return load;
  }

  void WeightsChanged(int64_t version) override {
    absl::MutexLock lock(&mutex_);
    version_ = version;
  }

 private:
  struct Item {
    std::shared_ptr<const RolloutRequest> request;
    int64_t sample_index = 0;
  };

  Completion Complete(const Item& item, int64_t version) const {
    Completion completion = options_.script(*item.request, item.sample_index, version);
    const size_t tokens = completion.token_ids.size();
    completion.sample_index = item.sample_index;
    if (completion.sampled_mask.empty()) completion.sampled_mask.assign(tokens, 1);
    if (completion.logprobs.empty()) completion.logprobs.assign(tokens, 0);
    if (completion.entropies.empty()) completion.entropies.assign(tokens, 0);
    if (completion.versions.empty())
      completion.versions.push_back({.begin = 0, .version = version});
    if (completion.finish == FinishReason::kUnspecified) completion.finish = FinishReason::kStop;
    return completion;
  }

  const FakeEngineOptions options_;
  mutable absl::Mutex mutex_;
  std::deque<Item> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<RolloutResult> finished_ ABSL_GUARDED_BY(mutex_);
  EngineLoad load_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::unique_ptr<RolloutEngine> CreateFakeEngine(FakeEngineOptions options) {
  return std::make_unique<FakeEngine>(std::move(options));
}

}  // namespace ponder
