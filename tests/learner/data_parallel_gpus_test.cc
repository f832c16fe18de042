#include <gtest/gtest.h>

#include "kernels/cuda/create_backend.h"
#include "learner/create_trainer.h"
#include "tests/learner/tiny_trainer.h"

namespace ponder {
namespace {

// On two GPUs joined by NCCL, emulated and faked where there are none; data_parallel_test.cc looks
// at the rest.
TEST(DataParallelOnGpus, LearnsOnBothWhatTwoRanksOverTheHostsMemoryLearn) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  const TrainerOptions options = {.model_directory = folder.Path("model"),
                                  .micro_batch_tokens = 150};
  std::vector<std::unique_ptr<kernels::Backend>> backends;
  std::vector<kernels::Backend*> pointers;
  for (int device = 0; device < 2; ++device) {
    auto backend = kernels::CreateLocalCudaBackend({.device = device});
    if (!backend.ok()) GTEST_SKIP() << "needs two GPUs: " << backend.status().message();
    backends.push_back(*std::move(backend));
    pointers.push_back(backends.back().get());
  }
  auto joined = kernels::CreateNcclCollectives(pointers);
  if (absl::IsNotFound(joined.status())) GTEST_SKIP() << joined.status().message();
  ASSERT_TRUE(joined.ok()) << joined.status();
  const auto by_nccl = *std::move(joined);
  const auto by_host = kernels::CreateHostCollectives(pointers);
  std::vector<uint64_t> hashes;
  std::vector<ScoredGroup> groups;
  for (const auto* collectives : {&by_nccl, &by_host}) {
    const std::vector<TrainerDevice> devices = {{pointers[0], (*collectives)[0].get()},
                                                {pointers[1], (*collectives)[1].get()}};
    auto trainer = CreateLocalTrainer(devices, options);
    ASSERT_TRUE(trainer.ok()) << trainer.status();
    if (groups.empty()) groups = SampleGroups(*pointers[1], (*trainer)->WeightsOn(1));
    const auto report = (*trainer)->Update(groups, SamplerNumerics::kSame);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
    const auto supervised = (*trainer)->Supervise(RandomExamples(3));
    ASSERT_TRUE(supervised.ok()) << supervised.status();
    EXPECT_EQ((*trainer)->PolicyVersion(), 2);
    for (int64_t rank = 0; rank < 2; ++rank)
      hashes.push_back(WorkingHash((*trainer)->WeightsOn(rank)));
  }
  EXPECT_EQ(hashes, std::vector<uint64_t>(4, hashes[0]));
}

}  // namespace
}  // namespace ponder
