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
  // Where it is not -1, the one id of `ids` is not known yet: it is that of the token which the
  // step launched before this one draws for its `follows`-th sampling input. Where that turns out
  // to be one of `stop_ids`, this input does nothing, and what is drawn behind it means nothing.
  int64_t follows = -1;
  std::span<const int32_t> stop_ids;
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
  // Whether a step may be launched before the one before it was collected: the device is then never
  // idle while the host looks at tokens.
  bool runs_ahead = false;
};

// The model as the engine sees it: runs batches and samples. An input may read pages that another
// one of the same step fills. One caller at a time.
class StepRunner {
 public:
  virtual ~StepRunner() = default;

  virtual StepRunnerInfo Info() const = 0;
  // Enqueues a step. At most one may wait to be collected at this time, and none that does not run
  // ahead. After an error nothing was enqueued.
  virtual absl::Status Launch(std::span<const StepInput> inputs) = 0;
  // Waits for the oldest step that was not collected: a token for each input that samples, in their
  // order.
  virtual std::vector<SampledToken> Collect() = 0;
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
