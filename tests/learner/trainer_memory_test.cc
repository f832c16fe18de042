#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "learner/create_trainer.h"
#include "tests/learner/tiny_trainer.h"
#include "tests/reference/test_backend.h"

// What a trainer keeps where: the same numbers, or nearly so, in less memory.
namespace ponder {
namespace {

using kernels::DType;
using ::testing::HasSubstr;

std::vector<float> WorkingValues(const Weights& weights) {
  std::vector<float> values;
  for (int64_t i = 0; i < std::ssize(weights.Layout().parameters); ++i) {
    const std::string bytes = weights.ExportWorking(i);
    std::vector<float> some(bytes.size() / sizeof(float));
    std::memcpy(some.data(), bytes.data(), bytes.size());
    values.insert(values.end(), some.begin(), some.end());
  }
  return values;
}

double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - b[i], 2);
  return std::sqrt(sum);
}

// Both moments are off by half a code at most. Within the highest decade of a block, where nearly
// all that counts lies, that is 0.7 % and 0.35 % of the block's largest; of a value a third of it
// (m) and a tenth (v), the usual ones among 256, 2 % and 2 % after the root. Ten steps of such
// errors, each its own, add up to less than 2 % * sqrt(1 / (1 - b1^2)) of m, 5 %, and as much of v:
// a tenth of the way that the weights go. Values a decade lower are off by seven times as much, and
// are a tenth of them.
constexpr double kShareOfTheWay = 0.1;

TEST(TrainerMemory, EightBitMomentsStayNearTheFloatsOverTenUpdates) {
  const TestFolder folder;
  WriteTinyModel("qwen3", folder.Path("model"));
  TrainerOptions options = {.dtype = DType::kF32,
                            .optimizer = {.learning_rate = 3e-3, .weight_decay = 0.1},
                            .micro_batch_tokens = 300};
  TinyTrainer floats(folder.Path("model"), options);
  options.moments = Moments::k8Bit;
  TinyTrainer codes(folder.Path("model"), options);
  const std::vector<float> start = WorkingValues(floats.trainer->GetWeights());
  const std::vector<SftExample> examples = RandomExamples(6);
  double first = 0, expected = 0, found = 0;
  for (int update = 0; update < 10; ++update) {
    auto with_floats = floats.trainer->Supervise(examples);
    auto with_codes = codes.trainer->Supervise(examples);
    ASSERT_TRUE(with_floats.ok() && with_codes.ok());
    expected = with_floats->metrics.at("loss/supervised");
    found = with_codes->metrics.at("loss/supervised");
    if (update == 0) {
      first = expected;
      EXPECT_EQ(found, expected);
    }
  }
  EXPECT_LT(expected, first - 0.5) << "the comparison should see learning";
  EXPECT_NEAR(found, expected, 0.05 * (first - expected));
  const std::vector<float> end = WorkingValues(floats.trainer->GetWeights());
  const double off = Distance(WorkingValues(codes.trainer->GetWeights()), end);
  EXPECT_LT(off, kShareOfTheWay * Distance(end, start));
  EXPECT_GT(off, 0);
}

TEST(TrainerMemory, OffloadedStatesGiveTheSameBits) {
  const TestFolder folder;
  WriteTinyModel("qwen3", folder.Path("model"));
  for (const Moments moments : {Moments::kF32, Moments::k8Bit}) {
    TrainerOptions options = {
        .optimizer = {.learning_rate = 1e-3}, .moments = moments, .micro_batch_tokens = 300};
    TinyTrainer here(folder.Path("model"), options);
    options.model_directory = folder.Path("model");
    options.offload = true;
    const auto backend = MakeTestBackend();
    auto offloaded = CreateLocalTrainer(*backend, options);
    if (TestBackendName() == "cpu") {
      ASSERT_FALSE(offloaded.ok());
      EXPECT_THAT(std::string(offloaded.status().message()), HasSubstr("optimizer.offload"));
      continue;
    }
    ASSERT_TRUE(offloaded.ok()) << offloaded.status();
    for (int update = 0; update < 3; ++update) {
      auto expected = here.trainer->Supervise(RandomExamples(3));
      auto found = (*offloaded)->Supervise(RandomExamples(3));
      ASSERT_TRUE(expected.ok() && found.ok());
      EXPECT_EQ(found->metrics, expected->metrics);
      EXPECT_EQ(WorkingHash((*offloaded)->GetWeights()), WorkingHash(here.trainer->GetWeights()));
    }
    ASSERT_TRUE(here.trainer->BeginPhase(options.optimizer, options.loss).ok());
    ASSERT_TRUE((*offloaded)->BeginPhase(options.optimizer, options.loss).ok());
    ASSERT_TRUE(here.trainer->Supervise(RandomExamples(3)).ok());
    ASSERT_TRUE((*offloaded)->Supervise(RandomExamples(3)).ok());
    EXPECT_EQ(WorkingHash((*offloaded)->GetWeights()), WorkingHash(here.trainer->GetWeights()));
  }
}

TEST(TrainerMemory, APlaceThatOthersUseBetweenCallsGivesTheSameBits) {
  const TestFolder folder;
  const ModelConfig config = WriteTinyModel("llama", folder.Path("model"));
  for (const Keep keep : {Keep::kAll, Keep::kLayerInputs}) {
    TrainerOptions options = {.model_directory = folder.Path("model"),
                              .optimizer = {.learning_rate = 1e-3},
                              .micro_batch_tokens = 150,
                              .keep = keep};
    TinyTrainer apart(folder.Path("model"), options);
    const auto backend = MakeTestBackend();
    const int64_t bytes = TrainerPlaceBytes(
        config, options, backend->Info().can_record ? PlannedMemory::kGpu : PlannedMemory::kHost);
    const auto place = kernels::DeviceBuffer::Create(*backend, bytes).value();
    TrainerDevice device = {.backend = backend.get(), .place = {place.As<void>(), bytes}};
    const auto placed = CreateLocalTrainer({&device, 1}, options).value();
    const std::vector<char> nans(static_cast<size_t>(bytes), '\xff');
    for (int update = 0; update < 2; ++update) {
      backend->CopyIn(place.As<void>(), nans.data(), bytes);
      const auto groups = SampleGroups(*apart.backend, apart.trainer->GetWeights());
      auto expected = apart.trainer->Update(groups, SamplerNumerics::kSame);
      auto found = placed->Update(groups, SamplerNumerics::kSame);
      ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
      EXPECT_EQ(found->metrics, expected->metrics);
      EXPECT_EQ(found->metrics.at("exactness/logprob_max_abs_diff"), 0);
      EXPECT_EQ(WorkingHash(placed->GetWeights()), WorkingHash(apart.trainer->GetWeights()));
    }
    device.place.bytes = bytes - 1;
    EXPECT_EQ(CreateLocalTrainer({&device, 1}, options).status().code(),
              absl::StatusCode::kResourceExhausted);
  }
}

}  // namespace
}  // namespace ponder
