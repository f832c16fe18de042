#include "tests/learner/tiny_trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/random.h"
#include "learner/create_trainer.h"
#include "model/decoder.h"
#include "tests/model/tiny_models.h"
#include "tests/reference/test_backend.h"

namespace ponder {
namespace {

constexpr const char* kLlamaJson = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
  "hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8,
  "intermediate_size": 52, "vocab_size": 75, "max_position_embeddings": 512, "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
  "bos_token_id": 0, "eos_token_id": 0})";

constexpr const char* kQwen3Json = R"({
  "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
  "hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 20,
  "intermediate_size": 52, "vocab_size": 75, "max_position_embeddings": 512, "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0, "tie_word_embeddings": false, "attention_bias": false, "use_sliding_window": false,
  "bos_token_id": 0, "eos_token_id": 0})";

// One completion, token by token: prompt rows first, then a row for each token.
Completion SampleOne(kernels::Backend& backend, const Weights& weights,
                     const std::vector<int32_t>& prompt, float temperature, int64_t count,
                     uint64_t seed) {
  const RandomKey key = MakeRandomKey(seed, "tiny-trainer-sample");
  Decoder decoder(backend, weights);
  const auto cache = KvCache::Create(backend, weights.Config(), weights.Dtype(), 8).value();
  const std::vector<int32_t> pages = PageRange(0, 8);
  Completion completion;
  completion.versions = {{0, weights.Version()}};
  completion.finish = FinishReason::kLength;
  std::vector<int32_t> ids = prompt;
  int64_t position = 0;
  for (int64_t t = 0; t < count; ++t) {
    DecoderBatch batch;
    batch.Add(ids, position, pages);
    position += static_cast<int64_t>(ids.size());
    const void* hidden = decoder.Forward(batch, *cache).value();
    const std::vector<int64_t> last = {batch.Rows() - 1};
    const void* row = decoder.GatherRows(hidden, last).value();
    const kernels::SampleRow params = {.temperature = temperature,
                                       .uniform = RandomUniform(key, static_cast<uint64_t>(t))};
    const DrawnTokens drawn = Draw(backend, row, weights.Head(), {params});
    completion.token_ids.push_back(drawn.tokens[0]);
    completion.sampled_mask.push_back(1);
    completion.logprobs.push_back(drawn.logprobs[0]);
    completion.entropies.push_back(drawn.entropies[0]);
    ids = drawn.tokens;
  }
  return completion;
}

}  // namespace

TestFolder::TestFolder() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = fmt::format("{}-{}-{}", test->test_suite_name(), test->name(), getpid());
  for (char& c : name) c = c == '/' ? '-' : c;
  root_ = std::filesystem::path(::testing::TempDir()) / name;
  std::filesystem::create_directories(root_);
}

TestFolder::~TestFolder() { std::filesystem::remove_all(root_); }

ModelConfig WriteTinyModel(const std::string& family, const std::string& directory) {
  PONDER_CHECK(family == "llama" || family == "qwen3", family);
  const ModelConfig config =
      ParseModelConfig(family == "llama" ? kLlamaJson : kQwen3Json, "").value();
  const ParameterLayout layout = MakeParameterLayout(config);
  const std::vector<float> flat = RandomWeights(layout);
  const absl::Status status =
      WriteModel(directory, config, layout, flat.data(), kernels::DType::kF32);
  PONDER_CHECK(status.ok(), status.ToString());
  return config;
}

TinyTrainer::TinyTrainer(const std::string& directory, TrainerOptions options, int64_t threads) {
  backend = MakeTestBackend(threads);
  options.model_directory = directory;
  auto made = CreateLocalTrainer(*backend, options);
  PONDER_CHECK(made.ok(), made.status().ToString());
  trainer = std::move(made).value();
}

std::vector<ScoredGroup> SampleGroups(kernels::Backend& backend, const Weights& weights,
                                      const SampleOptions& options) {
  constexpr int64_t kPromptTokens[] = {5, 16, 37};
  constexpr float kTemperatures[] = {1.0f, 0.7f, 0.0f};
  constexpr int64_t kCompletionTokens[] = {1, 11, 17, 40};
  constexpr float kAdvantages[] = {1.5f, -0.5f, 0.25f, -1.25f};
  std::vector<ScoredGroup> groups;
  for (size_t g = 0; g < 3; ++g) {
    ScoredGroup scored;
    scored.group.task.id = fmt::format("task-{}", g);
    scored.group.prompt_ids = RandomIds(kPromptTokens[g], kTinyDrawable, g);
    scored.group.temperature = kTemperatures[g];
    for (size_t c = 0; c < 4; ++c) {
      Completion completion = SampleOne(backend, weights, scored.group.prompt_ids, kTemperatures[g],
                                        kCompletionTokens[(c + g) % 4], 10 * g + c);
      completion.sample_index = static_cast<int64_t>(c);
      scored.group.completions.push_back(std::move(completion));
      scored.advantages.push_back(g == 2 && !options.third_has_signal ? 0.0f
                                                                      : kAdvantages[(c + g) % 4]);
    }
    groups.push_back(std::move(scored));
  }
  return groups;
}

uint64_t WorkingHash(const Weights& weights) {
  std::string bytes;
  for (size_t i = 0; i < weights.Layout().parameters.size(); ++i)
    bytes += weights.ExportWorking(static_cast<int64_t>(i));
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::vector<SftExample> RandomExamples(int64_t count) {
  RandomStream random(MakeRandomKey(5, "tiny-trainer-examples"));
  std::vector<SftExample> examples;
  for (int64_t i = 0; i < count; ++i) {
    examples.push_back(
        {RandomIds(random.Between(1, 20), kTinyVocabulary, static_cast<uint64_t>(2 * i + 100)),
         RandomIds(random.Between(1, 30), kTinyVocabulary, static_cast<uint64_t>(2 * i + 101))});
  }
  return examples;
}

}  // namespace ponder
