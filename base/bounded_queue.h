#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace ponder {

// A queue with a limit between threads. Push waits while full, Pop while empty, both until a
// deadline or Close. Thread-safe.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False where the queue is closed or the time ran out; `value` is then lost.
  bool Push(T value, absl::Duration timeout = absl::InfiniteDuration()) {
    absl::MutexLock lock(&mutex_);
    const auto has_room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return closed_ || items_.size() < capacity_;
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&has_room), timeout) || closed_) return false;
    items_.push_back(std::move(value));
    return true;
  }

  // Empty where the time ran out, or where the queue is closed and drained.
  std::optional<T> Pop(absl::Duration timeout = absl::InfiniteDuration()) {
    absl::MutexLock lock(&mutex_);
    const auto has_item = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return closed_ || !items_.empty();
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&has_item), timeout) || items_.empty())
      return std::nullopt;
    T value = std::move(items_.front());
    items_.pop_front();
    return value;
  }

  // No more pushes; what is inside can still be popped.
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  size_t Size() const {
    absl::MutexLock lock(&mutex_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ponder
