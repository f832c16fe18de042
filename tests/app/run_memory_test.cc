// A run's trainer and engine in the memory that its plan gives them: on a processor, and on a GPU
// or an emulated one.
#include "app/run_memory.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "app/config_convert.h"
#include "learner/create_trainer.h"
#include "model/tokenizer.h"
#include "tests/app/tiny_model_directory.h"
#include "tests/reference/test_backend.h"
#ifdef PONDER_EMULATES_CUDA
#include "tests/cuda_emulation/cuda_runtime.h"
#endif

namespace ponder {
namespace {

using testing::HasSubstr;

bool OnGpu() { return TestBackendName() != "cpu"; }

class RunMemoryTest : public testing::Test {
 protected:
  RunMemoryTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fmt::format("{}/{}-{}", testing::TempDir(), test->name(), getpid());
    EXPECT_TRUE(WriteTinyRun(folder_, 2).ok());
  }
  ~RunMemoryTest() override { std::filesystem::remove_all(folder_); }

  RunConfig Config(std::vector<std::string> overrides) const {
    overrides.push_back(fmt::format("machine.device={}", OnGpu() ? "cuda" : "cpu"));
    return LoadConfig(folder_ + "/run.toml", overrides).value();
  }

  std::string folder_;
};

// What `ponder train` makes of a configuration, without its verifier and its store.
struct SmallRun {
  explicit SmallRun(const RunConfig& config, bool apart = false) {
    const ModelConfig model = LoadModelConfig(config.model.directory).value();
    std::vector<TrainerDevice> ranks = {{.backend = backend.get()}};
    memory = TakeRunMemory(config, model, ranks).value();
    if (apart) ranks[0].place = {};
    trainer = CreateLocalTrainer(ranks, ToTrainerOptions(config).value()).value();
    if (config.learner.kl_weight > 0) {
      EXPECT_TRUE(trainer->SetReferenceFromCurrent().ok());
    }
    tokenizer = LoadTokenizer(config.model.directory).value();
    decoder = std::make_unique<Decoder>(*backend, trainer->GetWeights());
    EngineOptions options = ToEngineOptions(config);
    options.place = ranks[0].place;
    engine = CreateEngine(*decoder, *tokenizer, options).value();
  }

  std::vector<ScoredGroup> Generate(int64_t step, int64_t prompts, int64_t completions,
                                    int64_t tokens) {
    std::map<std::pair<uint64_t, int64_t>, Completion> found;
    for (int64_t i = 0; i < prompts; ++i) {
      EXPECT_TRUE(engine
                      ->Submit({.id = static_cast<uint64_t>(i),
                                .task_id = fmt::format("{}", i),
                                .seed = static_cast<uint64_t>(step),
                                .prompt_ids = Prompt(i),
                                .sample_count = completions,
                                .sampling = {.temperature = 1, .max_new_tokens = tokens}})
                      .ok());
    }
    while (engine->Step().value()) {
      for (RolloutResult& result : engine->Poll())
        found.emplace(std::pair(result.request_id, result.completion.sample_index),
                      std::move(result.completion));
    }
    std::vector<ScoredGroup> groups(static_cast<size_t>(prompts));
    for (auto& [key, completion] : found) {
      ScoredGroup& scored = groups[key.first];
      scored.group.task.id = fmt::format("{}", key.first);
      scored.group.prompt_ids = Prompt(static_cast<int64_t>(key.first));
      scored.advantages.push_back(key.second % 2 == 0 ? 1.0f : -1.0f);
      scored.group.completions.push_back(std::move(completion));
    }
    return groups;
  }

  UpdateReport Learn(const std::vector<ScoredGroup>& groups) {
    EXPECT_EQ(engine->Load().running + engine->Load().waiting, 0);
    const UpdateReport report = trainer->Update(groups, SamplerNumerics::kSame).value();
    engine->WeightsChanged(report.policy_version);
    return report;
  }

  static std::vector<int32_t> Prompt(int64_t i) {
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < 18 + i; ++t) ids.push_back(static_cast<int32_t>((7 * t + i) % 250));
    return ids;
  }

  std::unique_ptr<kernels::Backend> backend = MakeTestBackend();
  RunMemory memory;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<RolloutEngine> engine;
};

TEST_F(RunMemoryTest, StepsInSharedMemoryHaveTheBitsOfStepsApart) {
  // The cache is larger than the learner's part in one run, smaller in the other.
  for (const char* cache : {"rollout.cache_tokens=128", "rollout.cache_tokens=65536"}) {
    const RunConfig config = Config({cache, "learner.micro_batch_tokens=200"});
    SmallRun together(config), apart(config, /*apart=*/true);
    ASSERT_TRUE(together.memory.is_shared);
    for (int64_t step = 1; step <= 3; ++step) {
      const auto found = together.Generate(step, 2, 2, 6);
      const auto expected = apart.Generate(step, 2, 2, 6);
      for (size_t g = 0; g < found.size(); ++g)
        EXPECT_EQ(found[g].group.completions, expected[g].group.completions) << "step " << step;
      const UpdateReport report = together.Learn(found);
      EXPECT_EQ(report.metrics, apart.Learn(expected).metrics);
      EXPECT_EQ(report.metrics.at("exactness/logprob_max_abs_diff"), 0);
      EXPECT_GT(report.metrics.at("exactness/tokens"), 0);
    }
  }
}

TEST_F(RunMemoryTest, IsPlannedForEachDeviceAndSharedByThoseOfTheProcessor) {
  RunConfig config = Config({});
  const ModelConfig model = LoadModelConfig(config.model.directory).value();
  const auto plan = [&](const std::string& devices) {
    config.machine.device = devices;
    return TotalBytes(PlanRunMemory(config, model).value());
  };
  const int64_t one = plan("cpu");
  config.machine.memory_gib = 1.5 * static_cast<double>(one) / double(1 << 30);
  EXPECT_TRUE(CheckRunMemory(config, model).ok());
  EXPECT_EQ(plan("cpu,cpu"), one);
  const absl::Status two = CheckRunMemory(config, model);
  EXPECT_EQ(two.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(two.message()), HasSubstr("machine.memory_gib, divided by 2 devices,"));
  // GPUs have memory of their own each, of which what joins them takes some.
  EXPECT_GT(plan("cuda:0,cuda:1"), plan("cuda:0"));
  config.machine.memory_gib = 1.5 * static_cast<double>(plan("cuda:0,cuda:1")) / double(1 << 30);
  EXPECT_TRUE(CheckRunMemory(config, model).ok());
}

TEST_F(RunMemoryTest, DevicesThatOnlyGenerateTakeTheCacheFromTheLearners) {
  RunConfig config = Config({"rollout.cache_tokens=100000"});
  const ModelConfig model = LoadModelConfig(config.model.directory).value();
  const auto plan = [&](const std::string& device, const std::string& rollout_device) {
    config.machine.device = device;
    config.machine.rollout_device = rollout_device;
    return TotalBytes(PlanRunMemory(config, model).value());
  };
  EXPECT_LT(plan("cuda:0", "cuda:1"), plan("cuda:0", ""));
  EXPECT_GT(plan("cpu", "cpu"), plan("cpu", ""))
      << "it is the same memory, with weights of its own";
  EXPECT_GT(plan("cpu", "cpu,cpu"), plan("cpu", "cpu"));
}

TEST_F(RunMemoryTest, OnlyOnPolicyRunsOfOneProcessShareMemory) {
  const ModelConfig model = LoadModelConfig(Config({}).model.directory).value();
  const auto rows = [&](const RunConfig& config) {
    std::map<std::string, int64_t> bytes;
    const std::vector<MemoryPlanRow> plan = PlanRunMemory(config, model).value();
    for (const MemoryPlanRow& row : plan) bytes[row.name] = row.bytes;
    return bytes;
  };
  const auto shared = rows(Config({}));
  const auto overlapping = rows(Config({"rollout.max_staleness=1", "learner.importance_cap=2"}));
  const auto served = rows(Config({"rollout.listen=localhost:0"}));
  EXPECT_EQ(shared.count("rollout cache") + shared.count("cache") + shared.count("activations"), 0);
  EXPECT_EQ(shared.at("cache and activations, shared"),
            std::max(overlapping.at("rollout cache"),
                     overlapping.at("cache") + overlapping.at("activations")));
  EXPECT_EQ(served.count("cache and activations, shared"), 0u);
  const auto backend = MakeTestBackend();
  const RunConfig stale = Config({"rollout.max_staleness=1", "learner.importance_cap=2"});
  std::vector<TrainerDevice> ranks = {{.backend = backend.get()}};
  EXPECT_FALSE(TakeRunMemory(stale, model, ranks)->is_shared);
  EXPECT_EQ(ranks[0].place.data, nullptr);
}

#ifdef PONDER_EMULATES_CUDA
TEST_F(RunMemoryTest, ThePlanIsWhatAGpuTakes) {
  const std::vector<std::vector<std::string>> settings = {
      {},
      {"optimizer.moments=8bit", "learner.recompute_layers=true"},
      {"optimizer.offload=true", "rollout.max_staleness=1", "learner.importance_cap=2"},
      {"learner.kl_weight=0.1", "learner.updates_per_step=2", "model.dtype=bf16"}};
  for (std::vector<std::string> overrides : settings) {
    overrides.insert(overrides.end(),
                     {"learner.micro_batch_tokens=128", "rollout.cache_tokens=8192",
                      "rollout.max_step_tokens=64", "rollout.max_sequences=8"});
    const RunConfig config = Config(overrides);
    const ModelConfig model = LoadModelConfig(config.model.directory).value();
    // Fixed parts would hide the others.
    constexpr double kFixed = kernels::kBlasScratchBytes;
    const double planned =
        static_cast<double>(TotalBytes(PlanRunMemory(config, model).value())) - kFixed;
    cuda_emulation::TakeMemoryPeak();
    {
      SmallRun run(config);
      run.Learn(run.Generate(1, 2, 4, 12));
    }
    const double taken = static_cast<double>(cuda_emulation::TakeMemoryPeak()) - kFixed;
    EXPECT_NEAR(taken / planned, 1, 0.03) << fmt::format("{}", fmt::join(overrides, " "));
  }
}
#endif

}  // namespace
}  // namespace ponder
