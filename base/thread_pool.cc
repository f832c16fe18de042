#include "base/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <exception>
#include <iterator>

#include "base/check.h"

namespace ponder {
namespace {

// How long an idle worker spins before it sleeps in the kernel: a decoder layer starts a dozen
// loops a millisecond, and a futex wake-up costs about 5-50 us; 2,000 pauses are some 50 us.
constexpr int kSpins = 2000;

// Numbers of the cores that this process may use; empty where the system does not say.
std::vector<int> UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

// A wish: where the system refuses, the thread wanders.
void PinThisThread(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof(set), &set);
}

// Leaves the thread free to wander again.
void MoveThisThread(int core) {
  cpu_set_t own;
  if (sched_getaffinity(0, sizeof(own), &own) != 0 || !CPU_ISSET(core, &own)) return;
  PinThisThread(core);
  sched_setaffinity(0, sizeof(own), &own);
}

}  // namespace

ThreadPool::ThreadPool(int64_t threads) {
  PONDER_CHECK(threads >= 0);
  const std::vector<int> cores = UsableCores();
  if (threads == 0) {
    threads = cores.empty() ? std::max(1u, std::thread::hardware_concurrency()) : std::ssize(cores);
  }
  // With a thread for each core every worker keeps to its own, and its caches with it. Fewer
  // threads leave the choice to the system: another process may have the same thought.
  const bool pinned = threads > 1 && threads == std::ssize(cores);
  if (pinned) caller_core_ = cores[0];
  workers_.reserve(threads - 1);
  for (int64_t i = 1; i < threads; ++i) {
    workers_.emplace_back([this, core = pinned ? cores[i] : -1] {
      if (core >= 0) PinThisThread(core);
      WorkerLoop();
    });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, const std::function<void(int64_t)>& body) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  // The system takes its time to part two threads that share a core while another is idle.
  if (caller_core_ >= 0 && sched_getcpu() != caller_core_) MoveThisThread(caller_core_);
  body_ = &body;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int64_t>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  RunItems(body, count);
  for (int spin = 0;; ++spin) {
    const int64_t busy = busy_.load(std::memory_order_acquire);
    if (busy == 0) break;
    if (spin < kSpins) {
      _mm_pause();
    } else {
      busy_.wait(busy, std::memory_order_acquire);
    }
  }
  std::exception_ptr error;
  {
    absl::MutexLock lock(&mutex_);
    std::swap(error, error_);
  }
  if (error) std::rethrow_exception(error);
}

void ThreadPool::RunItems(const std::function<void(int64_t)>& body, int64_t count) {
  for (;;) {
    const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= count) return;
    try {
      body(item);
    } catch (...) {
      absl::MutexLock lock(&mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
}

void ThreadPool::WorkerLoop() {
  uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; generation_.load(std::memory_order_acquire) == seen; ++spin) {
      if (spin < kSpins) {
        _mm_pause();
      } else {
        generation_.wait(seen, std::memory_order_acquire);
      }
    }
    ++seen;
    if (stop_.load()) return;
    RunItems(*body_, count_);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace ponder
