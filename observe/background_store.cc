#include "observe/background_store.h"

#include <absl/base/thread_annotations.h>
#include <absl/functional/any_invocable.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <thread>
#include <utility>

namespace ponder {
namespace {

class BackgroundStore : public RunStore {
 public:
  BackgroundStore(std::unique_ptr<RunStore> store, int64_t max_queued_steps)
      : store_(std::move(store)),
        max_queued_steps_(max_queued_steps),
        thread_([this] { WriteAll(); }) {}

  ~BackgroundStore() override {
    {
      absl::MutexLock lock(&mutex_);
      ending_ = true;
    }
    thread_.join();
  }

  absl::Status WriteStep(StepRecord record) override {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](BackgroundStore* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
          return self->queued_steps_ < self->max_queued_steps_ || !self->status_.ok();
        },
        this));
    ++queued_steps_;
    return Push([this, record = std::move(record)]() mutable {
      const absl::Status status = store_->WriteStep(std::move(record));
      absl::MutexLock done(&mutex_);
      --queued_steps_;
      return status;
    });
  }
  absl::Status SetInfo(const std::string& key, const std::string& value) override {
    return Enqueue([this, key, value] { return store_->SetInfo(key, value); });
  }
  absl::Status WriteEvent(const EventRecord& event) override {
    return Enqueue([this, event] { return store_->WriteEvent(event); });
  }
  absl::Status WriteState(const RunState& state) override {
    return Enqueue([this, state] { return store_->WriteState(state); });
  }
  absl::Status WriteWorkers(const std::vector<WorkerRecord>& workers) override {
    return Enqueue([this, workers] { return store_->WriteWorkers(workers); });
  }
  absl::Status LoseWorkers(const std::string& last_words) override {
    return Enqueue([this, last_words] { return store_->LoseWorkers(last_words); });
  }
  absl::Status WriteReadings(const std::vector<Reading>& readings) override {
    return Enqueue([this, readings] { return store_->WriteReadings(readings); });
  }
  absl::Status WriteVocabulary(const std::vector<std::string>& pieces) override {
    return Enqueue([this, pieces] { return store_->WriteVocabulary(pieces); });
  }
  absl::Status TruncateAfter(const std::string& phase, int64_t step) override {
    return Enqueue([this, phase, step] { return store_->TruncateAfter(phase, step); });
  }

  absl::Status Flush() override {
    absl::MutexLock lock(&mutex_);
    AwaitIdle();
    return status_;
  }
  absl::StatusOr<std::optional<std::string>> GetInfo(const std::string& key) override {
    return Read([&] { return store_->GetInfo(key); });
  }
  absl::StatusOr<int64_t> LastStep(const std::string& phase) override {
    return Read([&] { return store_->LastStep(phase); });
  }
  absl::StatusOr<std::vector<StoredMetric>> ReadMetrics(const std::string& phase) override {
    return Read([&] { return store_->ReadMetrics(phase); });
  }
  absl::StatusOr<std::vector<EventRecord>> ReadEvents() override {
    return Read([&] { return store_->ReadEvents(); });
  }
  absl::StatusOr<std::vector<StoredCompletion>> ReadCompletions(const std::string& phase,
                                                                int64_t step) override {
    return Read([&] { return store_->ReadCompletions(phase, step); });
  }
  absl::StatusOr<StoredCompletion> ReadCompletion(int64_t rowid) override {
    return Read([&] { return store_->ReadCompletion(rowid); });
  }
  absl::StatusOr<std::vector<StoredCompletion>> ReadMarked(const std::string& phase,
                                                           const std::string& prefix,
                                                           const std::string& suffix,
                                                           int64_t limit) override {
    return Read([&] { return store_->ReadMarked(phase, prefix, suffix, limit); });
  }

 private:
  using Job = absl::AnyInvocable<absl::Status()>;

  template <typename Work>
  absl::Status Enqueue(Work work) {
    absl::MutexLock lock(&mutex_);
    return Push(std::move(work));
  }

  template <typename Work>
  absl::Status Push(Work work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (status_.ok()) queue_.emplace_back(std::move(work));
    return status_;
  }

  // `read` runs in the caller's thread while the writer has nothing to do.
  template <typename Reads>
  auto Read(Reads read) -> decltype(read()) {
    absl::MutexLock lock(&mutex_);
    AwaitIdle();
    if (!status_.ok()) return status_;
    return read();
  }

  void AwaitIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    mutex_.Await(absl::Condition(
        +[](BackgroundStore* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
          return self->queue_.empty() && !self->writing_;
        },
        this));
  }

  void WriteAll() {
    absl::MutexLock lock(&mutex_);
    for (;;) {
      mutex_.Await(absl::Condition(
          +[](BackgroundStore* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
            return !self->queue_.empty() || self->ending_;
          },
          this));
      if (queue_.empty()) return;
      Job job = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
      mutex_.Unlock();
      const absl::Status status = job();
      mutex_.Lock();
      writing_ = false;
      if (!status.ok() && status_.ok()) {
        status_ = status;
        queue_.clear();
      }
    }
  }

  const std::unique_ptr<RunStore> store_;  // used by the thread, or by a reader while it is idle
  const int64_t max_queued_steps_;
  absl::Mutex mutex_;
  std::deque<Job> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t queued_steps_ ABSL_GUARDED_BY(mutex_) = 0;  // in the queue or being written
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // the first error
  std::thread thread_;
};

}  // namespace

std::unique_ptr<RunStore> CreateBackgroundStore(std::unique_ptr<RunStore> store,
                                                int64_t max_queued_steps) {
  return std::make_unique<BackgroundStore>(std::move(store), max_queued_steps);
}

}  // namespace ponder
