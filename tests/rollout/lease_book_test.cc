#include "rollout/lease_book.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"

namespace ponder {
namespace {

constexpr LeaseBook::BatchId kBatch = 7;

std::vector<GroupRequest> Groups(std::vector<int64_t> sizes) {
  std::vector<GroupRequest> requests(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) requests[i].completions = sizes[i];
  return requests;
}

TEST(LeaseBook, CutsGroupsIntoLeasesThatCoverEverySampleOnce) {
  LeaseBook book;
  book.Add(kBatch, Groups({3, 8, 20}));
  book.Join(1, 1000);
  std::set<std::pair<size_t, int64_t>> samples;
  uint64_t id = 1;
  for (const auto& [worker, lease] : book.Assign()) {
    EXPECT_EQ(lease.id, id++);
    for (int64_t i = 0; i < lease.sample_count; ++i) {
      EXPECT_TRUE(samples.emplace(lease.request, lease.sample_begin + i).second);
    }
  }
  EXPECT_EQ(samples.size(), 31u);
}

TEST(LeaseBook, FillsTheWorkerWithTheMostRoomFirst) {
  LeaseBook book;
  book.Add(kBatch, Groups(std::vector<int64_t>(12, 8)));
  book.Join(1, 16);
  book.Join(2, 48);
  std::map<uint64_t, int64_t> leases;
  for (const auto& assignment : book.Assign()) ++leases[assignment.worker];
  EXPECT_EQ(leases[1], 3);  // its 16 places and one lease more
  EXPECT_EQ(leases[2], 7);
  EXPECT_TRUE(book.Assign().empty());
}

TEST(LeaseBook, SharesFewLeasesAmongIdleWorkers) {
  LeaseBook book;
  book.Add(kBatch, Groups({8, 8}));
  book.Join(1, 128);
  book.Join(2, 128);
  const auto assignments = book.Assign();
  ASSERT_EQ(assignments.size(), 2u);
  EXPECT_NE(assignments[0].worker, assignments[1].worker);
}

TEST(LeaseBook, GivesALostWorkersLeasesToOthersAndIgnoresItsLateResult) {
  LeaseBook book;
  book.Add(kBatch, Groups({8, 8}));
  book.Join(1, 128);
  ASSERT_EQ(book.Assign().size(), 2u);
  book.Complete(1, 1);
  EXPECT_EQ(book.Leave(1), 1);
  EXPECT_EQ(book.Reissued(kBatch), 1);
  EXPECT_EQ(book.Find(1, 2), nullptr);
  book.Join(2, 128);
  const auto again = book.Assign();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].lease.id, 2u);
  EXPECT_EQ(book.Find(1, 2), nullptr);
  ASSERT_NE(book.Find(2, 2), nullptr);
  EXPECT_FALSE(book.Done(kBatch));
  book.Complete(2, 2);
  EXPECT_EQ(book.Find(2, 2), nullptr) << "a second result of the same lease";
  EXPECT_TRUE(book.Done(kBatch));
}

TEST(LeaseBook, ALeaseThatFailsAgainAndAgainIsAnError) {
  LeaseBook book;
  book.Add(kBatch, Groups({1}));
  book.Join(1, 1);
  for (int64_t i = 1; i < LeaseBook::kMaxFailures; ++i) {
    ASSERT_EQ(book.Assign().size(), 1u);
    EXPECT_TRUE(book.Fail(1, 1, "no cache").ok());
  }
  ASSERT_EQ(book.Assign().size(), 1u);
  const absl::Status status = book.Fail(1, 1, "no cache");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("no cache"), absl::string_view::npos);
}

TEST(LeaseBook, EarlierBatchesComeFirstAndLaterOnesTakeThePlacesLeft) {
  LeaseBook book;
  book.Add(1, Groups({8}));
  book.Add(2, Groups({8, 8}));
  book.Join(1, 8);
  auto assignments = book.Assign();
  ASSERT_EQ(assignments.size(), 2u);
  EXPECT_EQ(assignments[0].lease.batch, 1u);
  EXPECT_EQ(assignments[1].lease.batch, 2u);
  book.Complete(1, assignments[1].lease.id);
  EXPECT_FALSE(book.Done(1));
  assignments = book.Assign();
  ASSERT_EQ(assignments.size(), 1u);
  EXPECT_EQ(assignments[0].lease.batch, 2u);
  book.Complete(1, assignments[0].lease.id);
  EXPECT_TRUE(book.Done(2));
}

TEST(LeaseBook, ARemovedBatchIsTakenFromItsWorkersAndNeverGivenOut) {
  LeaseBook book;
  book.Add(1, Groups({8, 8, 8}));
  book.Add(2, Groups({8}));
  book.Join(1, 8);
  ASSERT_EQ(book.Assign().size(), 2u);
  const auto held = book.Remove(1);
  ASSERT_EQ(held.size(), 2u);
  for (const auto& [worker, lease] : held) EXPECT_EQ(book.Find(worker, lease.id), nullptr);
  const auto assignments = book.Assign();
  ASSERT_EQ(assignments.size(), 1u);
  EXPECT_EQ(assignments[0].lease.batch, 2u);
}

// Workers come, go, finish and fail at random: every lease is completed exactly once.
TEST(LeaseBook, CompletesEveryLeaseOnceWhateverWorkersDo) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    RandomStream random(MakeRandomKey(seed, "lease book test"));
    std::vector<int64_t> sizes;
    size_t leases_in_all = 0;
    for (int64_t i = 0; i < 30; ++i) {
      sizes.push_back(random.Between(1, 20));
      leases_in_all +=
          (sizes.back() + LeaseBook::kLeaseCompletions - 1) / LeaseBook::kLeaseCompletions;
    }
    LeaseBook book;
    book.Add(kBatch, Groups(sizes));
    std::map<uint64_t, std::set<uint64_t>> held;  // by worker
    std::set<uint64_t> completed;
    uint64_t next_worker = 1;
    for (int step = 0; step < 5000 && !book.Done(kBatch); ++step) {
      if (held.size() < 2 || (held.size() < 5 && random.Between(0, 9) == 0)) {
        book.Join(next_worker, random.Between(1, 30));
        held[next_worker++];
      }
      for (const auto& [worker, lease] : book.Assign()) {
        ASSERT_TRUE(held.contains(worker));
        ASSERT_FALSE(completed.contains(lease.id));
        for (const auto& [other, leases] : held) ASSERT_FALSE(leases.contains(lease.id));
        held[worker].insert(lease.id);
      }
      auto place = held.begin();
      std::advance(place, random.Between(0, std::ssize(held) - 1));
      auto& [worker, leases] = *place;
      if (random.Between(0, 9) == 0) {
        ASSERT_EQ(book.Leave(worker), std::ssize(leases));
        held.erase(place);
      } else if (!leases.empty()) {
        const uint64_t lease = *leases.begin();
        ASSERT_NE(book.Find(worker, lease), nullptr);
        book.Complete(worker, lease);
        leases.erase(lease);
        ASSERT_TRUE(completed.insert(lease).second);
      }
    }
    EXPECT_TRUE(book.Done(kBatch));
    EXPECT_EQ(completed.size(), leases_in_all);
  }
}

}  // namespace
}  // namespace ponder
