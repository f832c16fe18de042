#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace ponder {
namespace {

TEST(ThreadPoolTest, RunsEachIndexOnce) {
  for (int64_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.Threads(), threads);
    for (int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(count);
      pool.ParallelFor(count, [&](int64_t i) { ++hits[i]; });
      for (const std::atomic<int>& hit : hits) EXPECT_EQ(hit, 1);
    }
  }
}

TEST(ThreadPoolTest, ManySmallLoopsInARowLoseNothing) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum = 0;
  for (int round = 0; round < 5000; ++round) pool.ParallelFor(5, [&](int64_t i) { sum += i; });
  EXPECT_EQ(sum, 5000 * 10);
}

TEST(ThreadPoolTest, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.ParallelFor(100,
                                [](int64_t i) {
                                  if (i == 57) throw std::runtime_error("57");
                                }),
               std::runtime_error);
  std::atomic<int> hits = 0;
  pool.ParallelFor(10, [&](int64_t) { ++hits; });
  EXPECT_EQ(hits, 10);
}

TEST(ThreadPoolTest, ZeroMeansTheUsableCores) { EXPECT_GE(ThreadPool(0).Threads(), 1); }

}  // namespace
}  // namespace ponder
