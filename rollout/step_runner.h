#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/decoder.h"
#include "rollout/engine.h"

namespace ponder {

// Tokens of one sequence to be run through the model.
struct StepInput {
  std::span<const int32_t> ids;  // at positions first_position, first_position + 1, ...
  int64_t first_position = 0;
  std::span<const int32_t> pages;  // cover positions 0 ... first_position + ids.size() - 1
  bool samples = false;            // a token is drawn behind the last id
  kernels::SampleRow sampling;     // how, where `samples`
};

struct SampledToken {
  int32_t id = 0;
  float logprob = 0;
  float entropy = 0;
};

struct StepRunnerInfo {
  std::string fingerprint;      // numerics
  int64_t vocabulary = 0;       // ids of prompts are in [0, vocabulary)
  int64_t drawable_tokens = 0;  // ids that can be sampled are in [0, drawable_tokens)
  int64_t max_positions = 0;
  int64_t pages = 0;
  int64_t version = 0;  // of the policy, at the start
};

// The model as the engine sees it: runs a batch and samples. An input may read pages that another
// one of the same call fills. One caller at a time.
class StepRunner {
 public:
  virtual ~StepRunner() = default;

  virtual StepRunnerInfo Info() const = 0;
  // A token for each input that samples, in their order.
  virtual absl::StatusOr<std::vector<SampledToken>> Run(std::span<const StepInput> inputs) = 0;
};

// `decoder` outlives the runner. Takes the cache at once, in `place` where that is given:
// RESOURCE_EXHAUSTED where it does not fit.
absl::StatusOr<std::unique_ptr<StepRunner>> CreateDecoderRunner(Decoder& decoder,
                                                                int64_t max_sequences,
                                                                int64_t pages,
                                                                kernels::DeviceSpan place = {});

// The engine over any runner.
absl::StatusOr<std::unique_ptr<RolloutEngine>> CreateEngineOver(std::unique_ptr<StepRunner> runner,
                                                                const Tokenizer& tokenizer,
                                                                const EngineOptions& options);

}  // namespace ponder
