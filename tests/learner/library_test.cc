#include "learner/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/learner/tiny_trainer.h"

namespace ponder {
namespace {

TEST(LearnerLibrary, IsFoundBesideTheProgramAndMakesATrainer) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  const auto backend = kernels::CreateCpuBackend({.threads = 2}).value();
  auto trainer = CreateTrainer(
      *backend, {.model_directory = folder.Path("model"), .dtype = kernels::DType::kF32});
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  // Groups sampled with the program's own copy of the decoder, learned from with the library's.
  const auto groups = SampleGroups(*backend, (*trainer)->GetWeights());
  auto report = (*trainer)->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
  EXPECT_EQ(report->policy_version, 1);
}

TEST(LearnerLibrary, PassesErrorsOn) {
  const auto backend = kernels::CreateCpuBackend({.threads = 1}).value();
  const auto trainer = CreateTrainer(*backend, {.model_directory = "/nowhere"});
  EXPECT_EQ(trainer.status().code(), absl::StatusCode::kNotFound) << trainer.status();
}

}  // namespace
}  // namespace ponder
