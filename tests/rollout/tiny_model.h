#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "model/decoder.h"
#include "model/weights.h"
#include "rollout/engine.h"
#include "tests/rollout/byte_tokenizer.h"

namespace ponder {

// A decoder of two layers with random weights for the ByteTokenizer; the embedding has rows beyond
// it.
struct TinyModel {
  static TinyModel Make(kernels::DType dtype, int64_t threads, uint64_t seed = 1);

  // Other random values under another version.
  void Randomize(uint64_t seed, int64_t version);
  std::unique_ptr<RolloutEngine> MakeEngine(const EngineOptions& options) const;

  ByteTokenizer tokenizer;
  std::unique_ptr<kernels::Backend> backend;
  std::unique_ptr<Weights> weights;
  std::unique_ptr<Decoder> decoder;
};

// All working bytes.
std::string ArenaOf(const Weights& weights);

// A request of `prompt` random tokens; the same for the same id.
RolloutRequest MakeRequest(uint64_t id, int64_t prompt, int64_t samples, int64_t max_new_tokens);

}  // namespace ponder
