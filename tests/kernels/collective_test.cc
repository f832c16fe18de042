#include "kernels/collective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/random.h"
#include "base/rank_threads.h"

namespace ponder::kernels {
namespace {

// Backends of the processor, and the threads that call them.
class HostCollectives : public ::testing::TestWithParam<int64_t> {
 protected:
  HostCollectives() : threads(GetParam()) {
    for (int64_t rank = 0; rank < GetParam(); ++rank)
      backends.push_back(CreateCpuBackend({.threads = 1}).value());
    std::vector<Backend*> pointers;
    for (const auto& backend : backends) pointers.push_back(backend.get());
    collectives = CreateHostCollectives(pointers);
  }

  Collective& On(int64_t rank) { return *collectives[static_cast<size_t>(rank)]; }

  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<std::unique_ptr<Collective>> collectives;
  RankThreads threads;
};

INSTANTIATE_TEST_SUITE_P(Ranks, HostCollectives, ::testing::Values(1, 2, 3, 5));

TEST_P(HostCollectives, GiveAllRanksTheSumInTheOrderOfTheRanks) {
  // Fewer numbers than ranks, and more than are added up at a time.
  for (const int64_t count : {0, 1, 3, 1000, 5 << 20}) {
    std::vector<std::vector<float>> values;
    for (int64_t rank = 0; rank < GetParam(); ++rank) {
      RandomStream random(MakeRandomKey(static_cast<uint64_t>(rank), "collective"));
      std::vector<float>& mine = values.emplace_back(static_cast<size_t>(count));
      for (float& value : mine)
        value = static_cast<float>((random.Uniform() - 0.5) * std::exp(20 * random.Uniform()));
    }
    std::vector<float> expected = values[0];
    for (size_t rank = 1; rank < values.size(); ++rank) {
      for (size_t i = 0; i < expected.size(); ++i) expected[i] += values[rank][i];
    }
    ASSERT_TRUE(threads
                    .Run([&](int64_t rank) {
                      return On(rank).AllReduceSum(values[static_cast<size_t>(rank)].data(), count);
                    })
                    .ok());
    for (const std::vector<float>& mine : values) EXPECT_TRUE(mine == expected) << count;
  }
}

TEST_P(HostCollectives, GiveAllRanksWhatTheRootHas) {
  for (const int64_t count : {0, 1, 1000, 5 << 20}) {
    const int64_t root = GetParam() / 2;
    std::vector<std::vector<float>> values;
    for (int64_t rank = 0; rank < GetParam(); ++rank)
      values.emplace_back(static_cast<size_t>(count), static_cast<float>(rank));
    ASSERT_TRUE(threads
                    .Run([&](int64_t rank) -> absl::Status {
                      PONDER_RETURN_IF_ERROR(On(rank).Broadcast(
                          values[static_cast<size_t>(rank)].data(), 4 * count, root));
                      return On(rank).Settle();
                    })
                    .ok());
    for (const std::vector<float>& mine : values)
      EXPECT_TRUE(mine == values[static_cast<size_t>(root)]) << count;
    if (count > 0) {
      EXPECT_EQ(values[0].back(), static_cast<float>(root));
    }
  }
}

TEST_P(HostCollectives, EndTheWaitsOfTheOthersWhereOneCannotGoOn) {
  if (GetParam() == 1) GTEST_SKIP() << "nobody waits";
  std::vector<absl::Status> found(static_cast<size_t>(GetParam()));
  const auto sum = [&](int64_t rank) {
    float value = 1;
    return On(rank).AllReduceSum(&value, 1);
  };
  threads
      .Run(
          [&](int64_t rank) -> absl::Status {
            if (rank == GetParam() - 1) return Unavailable("the device is gone");
            return found[static_cast<size_t>(rank)] = sum(rank);
          },
          [&](const absl::Status& why) { On(0).Abort(why); })
      .IgnoreError();
  for (int64_t rank = 0; rank < GetParam() - 1; ++rank) {
    EXPECT_EQ(found[static_cast<size_t>(rank)].message(), "the device is gone");
    EXPECT_EQ(sum(rank).message(), "the device is gone") << "and later calls fail alike";
  }
}

}  // namespace
}  // namespace ponder::kernels
