#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "base/status.h"

namespace ponder {

// A thread for each of several devices, for one caller. Unlike a ThreadPool's, these may wait on
// one another.
class RankThreads {
 public:
  // `ranks` counts the caller, which is rank 0.
  explicit RankThreads(int64_t ranks);
  ~RankThreads();
  RankThreads(const RankThreads&) = delete;
  RankThreads& operator=(const RankThreads&) = delete;

  int64_t Ranks() const { return std::ssize(threads_) + 1; }

  // Runs body(rank) for every rank at once, each always in the same thread, and returns when all
  // are done: the first error by rank. Where a body fails, `on_failure`, if there is one, is called
  // from its thread at once, so that the others need not wait for it. An exception of a body is
  // rethrown here.
  absl::Status Run(const std::function<absl::Status(int64_t rank)>& body,
                   const std::function<void(const absl::Status&)>& on_failure = {});

 private:
  struct Outcome {
    absl::Status status;
    std::exception_ptr exception;
  };
  using Task = std::function<Outcome(int64_t rank)>;
  void Loop(int64_t rank);

  std::vector<std::thread> threads_;  // of rank 1 and above
  absl::Mutex mutex_;
  const Task* task_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int64_t round_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Outcome> outcomes_;  // by rank; each is written by its own thread
};

}  // namespace ponder
