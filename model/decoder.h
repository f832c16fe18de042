#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/weights.h"

namespace ponder {

// The keys and values of all layers, in pages (kernels/kv_cache.h). Owns the arenas; which page
// belongs to whom is the caller's business.
class KvCache {
 public:
  // `place` holds it where one is given, Bytes() at least, and outlives it.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(kernels::Backend& backend,
                                                         const ModelConfig& config,
                                                         kernels::DType dtype, int64_t pages,
                                                         kernels::DeviceSpan place = {});
  // `spare`: with a page for the rows that pad a recorded batch, as on backends that record.
  static int64_t Bytes(const ModelConfig& config, kernels::DType dtype, int64_t pages, bool spare);
  const kernels::KvShape& Shape() const { return shape_; }
  // A slot behind the pages, for the rows that pad a recorded batch; only where the backend
  // records.
  int64_t SpareSlot() const { return shape_.pages * kernels::kPageTokens; }
  kernels::KvLayer Layer(int64_t layer) const;

 private:
  kernels::KvShape shape_;
  int64_t layers_ = 0;
  int64_t pages_of_layer_ = 0;  // the spare one included
  // A layer's keys, then its values, layer after layer: one piece, since each piece of memory ends
  // with a huge page of which it uses a part.
  kernels::DeviceBuffer memory_;
};

// N rows of work for the decoder: any mix of prefill, decode and training. Sequences may share
// pages; rows of a shared prefix must be in this batch or an earlier one. Host memory.
struct DecoderBatch {
  std::vector<int32_t> ids;                           // [N]
  std::vector<int32_t> positions;                     // [N]
  std::vector<int32_t> slots;                         // [N]: page * 16 + position % 16
  std::vector<kernels::AttentionSequence> sequences;  // their `pages` point into page_tables
  std::vector<std::vector<int32_t>> page_tables;      // one a sequence

  // Rows whose ids are tokens that the device has drawn and the host has not seen
  // (kernels::FollowArgs). Such a row is all of its sequence, and all sequences before it have one
  // row as well.
  const int32_t* drawn = nullptr;  // the device's; null: there are no such rows
  struct Follower {
    int64_t row = 0;
    int64_t source = 0;                 // index in `drawn`
    std::span<const int32_t> stop_ids;  // valid as long as the batch
  };
  std::vector<Follower> followers;

  int64_t Rows() const { return static_cast<int64_t>(ids.size()); }

  // Appends a sequence's rows: `ids` are the tokens at positions first_position, first_position +
  // 1, ...; `pages` covers positions 0 ... first_position + ids.size() - 1.
  void Add(std::span<const int32_t> ids, int64_t first_position, std::span<const int32_t> pages);
};

// What a training forward keeps for the backward, and the backward's own work space: one arena,
// taken once, for at most `max_rows` rows and pages numbered below `max_pages`. Defined in
// model/activations.h.
class Activations;

// The decoder of the Llama family (Llama, Qwen2, Qwen3), written once over kernels::Backend. Not
// thread-safe.
class Decoder {
 public:
  // `weights` and `backend` outlive the decoder.
  Decoder(kernels::Backend& backend, const Weights& weights);
  ~Decoder();

  // Takes the memory of Forward's arrays for up to `rows` rows now, and no more than they need.
  absl::Status ReserveRows(int64_t rows);

  // Runs all layers and the final norm; keys and values go into `cache`. Returns the hidden states
  // [N, padded D] act in memory that stays valid until the next call. RESOURCE_EXHAUSTED where
  // scratch memory cannot be had.
  absl::StatusOr<const void*> Forward(const DecoderBatch& batch, KvCache& cache);

  // The final hidden states of chosen rows, gathered as [rows.size(), padded D] act; valid until
  // the next call.
  absl::StatusOr<const void*> GatherRows(const void* hidden, std::span<const int64_t> rows);

  // How many forwards were replays of a recorded one (kernels::Backend::Record).
  int64_t Replays() const;

  const Weights& GetWeights() const { return *weights_; }
  kernels::Backend& GetBackend() const { return *backend_; }

  // ---- training ----

  // The same forward, keeping what the backward needs. The cache must be the one given to Backward,
  // and nobody else writes the batch's pages in between. The hidden states stay valid until the
  // next training forward with these activations.
  absl::StatusOr<const void*> ForwardForTraining(const DecoderBatch& batch, KvCache& cache,
                                                 Activations& activations);

  // Given d_hidden [N, D] fp32 (gradient of the final hidden states, all rows), adds the gradients
  // of every parameter but the head's (kernels::Backend::LogProbBackward adds that one) to
  // `gradients`, flat fp32 [count]. Rows of a prefix that sequences share get the sum of what flows
  // back from all of them; a prefix from an earlier batch is taken as constant.
  absl::Status Backward(const DecoderBatch& batch, const KvCache& cache,
                        const Activations& activations, const float* d_hidden, float* gradients);

  // Log-probs of `targets` after the given hidden rows.
  struct Scored {
    std::vector<float> logprobs, entropies, logsumexps;
  };
  Scored LogProbs(const void* hidden_rows, std::span<const int32_t> targets,
                  std::span<const float> inverse_temperatures);

 private:
  struct Scratch;
  kernels::Backend* backend_;
  const Weights* weights_;
  std::unique_ptr<Scratch> scratch_;
};

// What a training forward leaves for its backward.
enum class Keep {
  kAll,          // everything that costs a matrix product to make again
  kLayerInputs,  // the residual stream at each layer's start: the backward runs each layer's
                 // forward once more (Chen et al. 2016, "Training deep nets with sublinear memory
                 // cost"); the same bits in a fraction of the memory, for about a quarter more time
};

// Bytes that CreateActivations will take, of its own or of `place`, which outlives them.
int64_t ActivationBytes(const ModelConfig& config, kernels::DType dtype, int64_t max_rows,
                        int64_t max_pages, Keep keep = Keep::kAll);

absl::StatusOr<std::unique_ptr<Activations>> CreateActivations(
    kernels::Backend& backend, const ModelConfig& config, kernels::DType dtype, int64_t max_rows,
    int64_t max_pages, Keep keep = Keep::kAll, kernels::DeviceSpan place = {});

}  // namespace ponder
