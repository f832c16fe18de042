#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/records.h"
#include "base/status.h"
#include "model/decoder.h"
#include "model/tokenizer.h"

namespace ponder {

struct SamplingParams {
  float temperature = 1;
  float top_p = 1;
  int64_t top_k = 0;
  int64_t max_new_tokens = 256;
  std::vector<int32_t> stop_ids;          // end a completion; the stop token is part of it
  std::vector<std::string> stop_strings;  // end it once the text holds one
};

// The completions sample_begin ... sample_begin + sample_count - 1 of one prompt.
struct RolloutRequest {
  uint64_t id = 0;      // the caller's; returned with each completion
  std::string task_id;  // keys the random numbers
  uint64_t seed = 0;
  std::vector<int32_t> prompt_ids;
  int64_t sample_begin = 0;
  int64_t sample_count = 1;
  SamplingParams sampling;
  // Completions that are not finished then come out as kCancelled, with what they have.
  absl::Time deadline = absl::InfiniteFuture();
  // Called from Step with each token as it is sampled, for a reader who watches; may be empty.
  std::function<void(int64_t sample_index, int32_t token)> on_token;
};

struct RolloutResult {
  uint64_t request_id = 0;
  Completion completion;
};

struct EngineLoad {
  int64_t waiting = 0;  // completions not started
  int64_t running = 0;
  int64_t free_pages = 0;
  int64_t total_pages = 0;
  int64_t prefill_tokens =
      0;                      // rows run for prompts, and again after a preemption; since the start
  int64_t decode_tokens = 0;  // tokens sampled, since the start
  int64_t cached_tokens = 0;  // prompt tokens found in shared pages instead of run, since the start
  int64_t preemptions = 0;    // sequences put back because pages ran out, since the start
};

struct EngineCapabilities {
  std::string fingerprint;  // numerics: equal fingerprints give equal log-probs
  int64_t max_sequences = 0;
  int64_t max_positions = 0;
};

// Generates completions for requests in continuous batches. Submit, Poll, Cancel and Load from any
// thread; Step from one thread at a time. What a completion is depends on its request and the
// weights alone, never on the batch it ran in.
class RolloutEngine {
 public:
  virtual ~RolloutEngine() = default;

  virtual EngineCapabilities Capabilities() const = 0;
  // INVALID_ARGUMENT where the prompt is empty, an id is outside the vocabulary, or prompt and
  // answer cannot fit the model or the cache.
  virtual absl::Status Submit(RolloutRequest request) = 0;
  // Drops what is left of a request; its unfinished completions come out as kCancelled.
  virtual void Cancel(uint64_t request_id) = 0;
  // One round: admits waiting prompts, prefills, decodes one token for each running sequence. False
  // where there was nothing to do.
  virtual absl::StatusOr<bool> Step() = 0;
  // Completions finished since the last call.
  virtual std::vector<RolloutResult> Poll() = 0;
  virtual EngineLoad Load() const = 0;
  // The weights have changed in place, or will be these from now on: later tokens carry `version`;
  // cached prefixes of finished prompts are forgotten. Running completions go on behind the keys
  // and values they have; those without a token yet begin their prompt again, so a completion whose
  // tokens all carry one version is that version's alone. Between steps only.
  virtual void WeightsChanged(int64_t version) = 0;
};

struct EngineOptions {
  int64_t max_sequences = 128;     // B of a decode step
  int64_t max_step_tokens = 2048;  // rows of one forward: decode first, the rest for prefill
  int64_t cache_tokens = 65536;    // size of the key/value cache
  // Where the cache lies, KvCache::Bytes at least; outlives the engine. Others may use it while no
  // request is under way, up to the next WeightsChanged. Null: the engine has its own.
  kernels::DeviceSpan place;
  Clock* clock = &RealClock();  // of deadlines; outlives the engine
};

// `decoder` and `tokenizer` outlive the engine.
absl::StatusOr<std::unique_ptr<RolloutEngine>> CreateEngine(Decoder& decoder,
                                                            const Tokenizer& tokenizer,
                                                            const EngineOptions& options);

}  // namespace ponder
