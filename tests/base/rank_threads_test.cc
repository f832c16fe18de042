#include "base/rank_threads.h"

#include <absl/synchronization/barrier.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "base/check.h"

namespace ponder {
namespace {

TEST(RankThreads, RunsAllRanksAtOnceEachAlwaysInItsOwnThread) {
  RankThreads threads(3);
  EXPECT_EQ(threads.Ranks(), 3);
  std::vector<std::thread::id> first(3), second(3);
  for (std::vector<std::thread::id>* found : {&first, &second}) {
    // Nobody leaves before all have come: they run at once.
    auto* const barrier = new absl::Barrier(3);
    ASSERT_TRUE(threads
                    .Run([&](int64_t rank) {
                      (*found)[static_cast<size_t>(rank)] = std::this_thread::get_id();
                      if (barrier->Block()) delete barrier;
                      return absl::OkStatus();
                    })
                    .ok());
  }
  EXPECT_EQ(first, second);
  EXPECT_EQ(first[0], std::this_thread::get_id());
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 3);
}

TEST(RankThreads, ReturnsTheFirstErrorByRankAndTellsOfEachAtOnce) {
  RankThreads threads(3);
  std::atomic<int> told = 0;
  const absl::Status status = threads.Run(
      [](int64_t rank) {
        return rank == 0 ? absl::OkStatus() : InvalidArgument("rank {} is bad", rank);
      },
      [&](const absl::Status&) { ++told; });
  EXPECT_EQ(status.message(), "rank 1 is bad");
  EXPECT_EQ(told, 2);
  EXPECT_TRUE(threads.Run([](int64_t) { return absl::OkStatus(); }).ok()) << "it goes on";
}

TEST(RankThreads, RethrowsTheExceptionOfAnyRankWhenAllAreDone) {
  RankThreads threads(2);
  std::string told;
  std::atomic<int> done = 0;
  EXPECT_THROW(threads
                   .Run(
                       [&](int64_t rank) {
                         PONDER_CHECK(rank == 0);
                         ++done;
                         return absl::OkStatus();
                       },
                       [&](const absl::Status& why) { told = std::string(why.message()); })
                   .IgnoreError(),
               CheckFailure);
  EXPECT_EQ(done, 1);
  EXPECT_NE(told.find("rank 1: "), std::string::npos) << told;
}

}  // namespace
}  // namespace ponder
