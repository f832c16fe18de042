#include "tests/rollout/tiny_model.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/reference/test_backend.h"

namespace ponder {

TinyModel TinyModel::Make(kernels::DType dtype, int64_t threads, uint64_t seed) {
  ModelConfig config;
  config.width = 40;
  config.layers = 2;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_width = 8;
  config.ffn_width = 52;
  config.vocabulary = 275;
  config.max_positions = 512;
  config.tied_embeddings = true;
  TinyModel model;
  model.backend = MakeTestBackend(threads);
  model.weights = Weights::Create(*model.backend, config, dtype).value();
  model.weights->SetDrawableTokens(ByteTokenizer().Size());
  model.Randomize(seed, 0);
  model.decoder = std::make_unique<Decoder>(*model.backend, *model.weights);
  return model;
}

void TinyModel::Randomize(uint64_t seed, int64_t version) {
  const ParameterLayout& layout = weights->Layout();
  std::vector<float> flat(layout.count);
  RandomStream random(MakeRandomKey(seed, "tiny model"));
  for (const Parameter& parameter : layout.parameters) {
    const bool vector = parameter.role == Parameter::Role::kVector;
    // A logit of an embedding row with itself would drown all others: samples would be copies of
    // the prompt.
    const double scale = parameter.role == Parameter::Role::kEmbedding
                             ? 0.5
                             : 2 / std::sqrt(static_cast<double>(parameter.columns));
    for (int64_t i = 0; i < parameter.Count(); ++i) {
      flat[parameter.offset + i] =
          static_cast<float>(vector ? 1 + 0.1 * random.Normal() : scale * random.Normal());
    }
  }
  weights->SetFromFlat(flat.data());
  weights->SetVersion(version);
}

std::unique_ptr<RolloutEngine> TinyModel::MakeEngine(const EngineOptions& options) const {
  return CreateEngine(*decoder, tokenizer, options).value();
}

std::string ArenaOf(const Weights& weights) {
  std::string bytes(static_cast<size_t>(weights.ArenaBytes()), '\0');
  weights.ExportArena(0, weights.ArenaBytes(), bytes.data());
  return bytes;
}

RolloutRequest MakeRequest(uint64_t id, int64_t prompt, int64_t samples, int64_t max_new_tokens) {
  RolloutRequest request{
      .id = id, .task_id = "task-" + std::to_string(id), .seed = 7, .sample_count = samples};
  RandomStream random(MakeRandomKey(id, "prompt"));
  for (int64_t i = 0; i < prompt; ++i) {
    request.prompt_ids.push_back(static_cast<int32_t>(random.Between(0, 256)));
  }
  request.sampling.max_new_tokens = max_new_tokens;
  request.sampling.stop_ids = {3, 30, 200};
  return request;
}

}  // namespace ponder
