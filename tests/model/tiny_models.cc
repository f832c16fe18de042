#include "tests/model/tiny_models.h"

#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/random.h"
#include "tests/reference/test_backend.h"

namespace ponder {
namespace {

ModelConfig Llama() {
  ModelConfig config;
  config.family = ModelFamily::kLlama;
  config.width = 36;
  config.layers = 2;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_width = 8;
  config.ffn_width = 52;
  config.vocabulary = 75;
  config.max_positions = 512;
  config.norm_epsilon = 1e-5f;
  config.tied_embeddings = true;
  return config;
}

ModelConfig LlamaBiasUntied() {
  ModelConfig config = Llama();
  config.kv_heads = 6;
  config.tied_embeddings = false;
  config.qkv_bias = true;
  config.output_bias = true;
  return config;
}

ModelConfig WithRope(const RopeConfig& rope) {
  ModelConfig config = Llama();
  config.head_width = 16;
  config.rope = rope;
  return config;
}

ModelConfig Qwen2(bool tied) {
  ModelConfig config = Llama();
  config.family = ModelFamily::kQwen2;
  config.norm_epsilon = 1e-6f;
  config.rope.theta = 1000000;
  config.tied_embeddings = tied;
  config.qkv_bias = true;
  return config;
}

ModelConfig Qwen3(bool tied) {
  ModelConfig config = Llama();
  config.family = ModelFamily::kQwen3;
  config.heads = 4;
  config.head_width = 20;
  config.norm_epsilon = 1e-6f;
  config.rope.theta = 1000000;
  config.tied_embeddings = tied;
  config.qk_norm = true;
  return config;
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

const std::vector<TinyModel>& TinyModels() {
  static const auto* models = new std::vector<TinyModel>{
      {"llama", Llama()},
      {"llama_bias_untied", LlamaBiasUntied()},
      {"llama_linear", WithRope({.scaling = RopeScaling::kLinear, .factor = 4})},
      {"llama_llama3", WithRope({.theta = 500000,
                                 .scaling = RopeScaling::kLlama3,
                                 .factor = 8,
                                 .low_frequency_factor = 1,
                                 .high_frequency_factor = 4,
                                 .original_max_positions = 64})},
      {"llama_yarn",
       WithRope({.scaling = RopeScaling::kYarn, .factor = 4, .original_max_positions = 64})},
      {"qwen2", Qwen2(true)},
      {"qwen2_untied", Qwen2(false)},
      {"qwen3", Qwen3(true)},
      {"qwen3_untied", Qwen3(false)},
  };
  return *models;
}

const TinyModel& FindTinyModel(const std::string& name) {
  for (const TinyModel& model : TinyModels()) {
    if (model.name == name) return model;
  }
  ThrowCheckFailure("the model is known", __FILE__, __LINE__, name);
}

std::vector<float> RandomWeights(const ParameterLayout& layout, uint64_t seed) {
  std::vector<float> flat(layout.count);
  for (const TensorView& tensor : layout.tensors) {
    double center = 0, radius = 0;
    if (EndsWith(tensor.name, ".bias")) {
      radius = 0.2;
    } else if (tensor.shape.size() == 1) {
      center = 1;
      radius = 0.2;
    } else if (tensor.name == "model.embed_tokens.weight") {
      radius = 0.3;
    } else {
      radius = std::sqrt(3.0 / static_cast<double>(tensor.shape[1]));
    }
    const RandomKey key = MakeRandomKey(seed, tensor.name);
    for (int64_t i = 0; i < tensor.Count(); ++i) {
      flat[tensor.offset + i] =
          static_cast<float>(center + radius * (2 * RandomUniform(key, 0, i) - 1));
    }
  }
  return flat;
}

reference::NamedTensors ByName(const ParameterLayout& layout, const std::vector<float>& flat) {
  reference::NamedTensors tensors;
  for (const TensorView& tensor : layout.tensors) {
    const auto begin = flat.begin() + tensor.offset;
    tensors[tensor.name] = {.shape = tensor.shape, .values = {begin, begin + tensor.Count()}};
  }
  return tensors;
}

std::vector<int32_t> RandomIds(int64_t count, int64_t vocabulary, uint64_t sequence) {
  const RandomKey key = MakeRandomKey(1, "ids");
  std::vector<int32_t> ids(count);
  for (int64_t i = 0; i < count; ++i) {
    ids[i] =
        static_cast<int32_t>(RandomUniform(key, sequence, i) * static_cast<double>(vocabulary));
  }
  return ids;
}

DecoderFixture MakeDecoderFixture(const ModelConfig& config, const FixtureOptions& options) {
  DecoderFixture fixture;
  fixture.backend = MakeTestBackend(options.threads, options.isa);
  fixture.weights = Weights::Create(*fixture.backend, config, options.dtype).value();
  fixture.flat = RandomWeights(fixture.weights->Layout());
  fixture.weights->SetFromFlat(fixture.flat.data());
  fixture.cache = KvCache::Create(*fixture.backend, config, options.dtype, options.pages).value();
  fixture.decoder = std::make_unique<Decoder>(*fixture.backend, *fixture.weights);
  return fixture;
}

std::vector<int32_t> PageRange(int64_t first, int64_t count) {
  std::vector<int32_t> pages(count);
  std::iota(pages.begin(), pages.end(), static_cast<int32_t>(first));
  return pages;
}

}  // namespace ponder
