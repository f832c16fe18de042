#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace ponder {

// A fixed set of compute threads for one caller: the calling thread works too. No tasks wait on one
// another. With as many threads as cores each worker is pinned to a core of its own; the caller is
// moved to the one that is left, but not kept there.
class ThreadPool {
 public:
  // `threads` counts the caller; 0 means one a core this process may use.
  explicit ThreadPool(int64_t threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t Threads() const { return static_cast<int64_t>(workers_.size()) + 1; }

  // Runs body(i) once for each i in [0, count), spread over the threads by work stealing of single
  // indices, and returns when all are done. What body(i) computes must depend on i alone, never on
  // the thread: results are then the same for any number of threads. Not reentrant; one caller at a
  // time. An exception of a body is rethrown here.
  void ParallelFor(int64_t count, const std::function<void(int64_t)>& body);

 private:
  void WorkerLoop();
  void RunItems(const std::function<void(int64_t)>& body, int64_t count);

  std::vector<std::thread> workers_;
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> busy_{0};
  std::atomic<uint64_t> generation_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  int caller_core_ = -1;  // the one that no worker is pinned to, or -1
  absl::Mutex mutex_;
  std::exception_ptr error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ponder
