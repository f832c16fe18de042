#pragma once

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/kv_cache.h"
#include "kernels/packed_matrix.h"

// What the operations of a backend (kernels/backend.h) take. Plain structs, which the GPU's
// compiler reads too.
//
// Shapes: N packed tokens (rows), B sequences, D model width, H query heads, K key/value heads, E
// head width, F feed-forward width, V vocabulary. Arrays are row-major, dense, 64-byte aligned, in
// the backend's memory. "act" is the element type of the weights (f32 or bf16): the inputs of
// matrix products are stored in it; rows of an act array have PaddedInputs(width) elements, the
// padding zero. Everything else is fp32. N = 0 is allowed everywhere and does nothing.
//
// Exactness, which every implementation keeps: each output element of a forward operation is
// reduced in one fixed order that depends on D, H, K, E, F, V and the key count alone, never on N,
// the row's place, the number of threads or the pages' numbers. Backward operations give the same
// bits for the same batch, whatever the number of threads.
namespace ponder::kernels {

struct EmbedArgs {
  const int32_t* ids = nullptr;  // [N], each in [0, table.outputs)
  PackedMatrix table;            // [V, D]
  float* out = nullptr;          // [N, D]
  int64_t rows = 0;
};

struct RmsNormArgs {
  const float* x = nullptr;       // [N, D]
  const float* weight = nullptr;  // [D]
  void* y =
      nullptr;  // [N, padded D] act: x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019)
  float* inverse_rms = nullptr;  // [N], kept for the backward; may be null
  DType act = DType::kBF16;
  float epsilon = 1e-5f;
  int64_t rows = 0;
  int64_t width = 0;  // D
};

enum class Store { kOverwrite, kAdd };

struct LinearArgs {
  const void* x = nullptr;      // [N, padded inputs] act = w.dtype
  PackedMatrix w;               // [outputs, inputs]
  const float* bias = nullptr;  // [outputs], or null
  float* y = nullptr;           // [N, outputs]: x W^T + bias, stored or added (the residual)
  Store store = Store::kOverwrite;
  int64_t rows = 0;
};

// Splits the fused projection, applies QK norm (Qwen3) and rotary positions (Su et al. 2021, halves
// rotated as in Hugging Face), and writes keys and values into the cache.
struct QkvRopeArgs {
  const float* qkv = nullptr;     // [N, (H + 2K) E]: queries, keys, values
  const float* q_norm = nullptr;  // [E], or null
  const float* k_norm = nullptr;  // [E], or null
  float norm_epsilon = 1e-6f;
  const float* cos_sin =
      nullptr;  // [max positions, E]: cos of E/2 angles, then sin; scaling of RoPE is inside
  const int32_t* positions = nullptr;  // [N]
  const int32_t* slots = nullptr;      // [N]: where key and value go
  float* q = nullptr;                  // [N, H, E], rotated
  KvLayer cache;
  KvShape shape;
  int64_t rows = 0;
  int64_t heads = 0;  // H
};

// One sequence of an attention batch. Its rows are the last `query_count` of its `key_count`
// positions; row i sees keys 0 ... key_count - query_count + i.
struct AttentionSequence {
  int64_t query_begin = 0;  // first row in q
  int64_t query_count = 0;
  int64_t key_count = 0;
  const int32_t* pages = nullptr;  // [KvPagesFor(key_count)]
  // What the host tells a GPU of sequences that decode (kernels/attention_plan.h):
  int64_t shared_keys = 0;    // its first keys that its run does for it (AttentionArgs::runs)
  int64_t segment_begin = 0;  // its first one in AttentionArgs::segments
};

// A sequence with at most so many rows of a key/value head decodes, for a GPU.
inline constexpr int64_t kDecodeRows = 16;
// A GPU takes the keys of such a sequence in segments, side by side. What a row becomes is put
// together from its segments in order, whoever has made them.
struct AttentionSegment {
  int32_t sequence = -1;  // -1: none, a place that is not used
  int32_t number = 0;     // keys from number * kSegmentKeys on
};
inline constexpr int64_t kSegmentKeys = 1024;

// Neighbours that decode one row each behind the same first pages: a GPU reads those once for all.
// The CPU's kernels find such neighbours by themselves.
struct AttentionRun {
  int32_t first = 0;  // sequence
  int32_t count = 0;  // sequences, at most kRunRows rows of a key/value head together; 0: no run
  int32_t keys = 0;   // shared, a multiple of kRunKeys
  int32_t unused = 0;
};
inline constexpr int64_t kRunRows = 64;
inline constexpr int64_t kRunKeys = 32;

// Causal attention with grouped query heads: query head h reads key/value head h / (H / K). Scores
// are q.k * scale; softmax in fp32 with the online maximum taken page by page.
struct AttentionArgs {
  const float* q = nullptr;  // [N, H, E]
  KvLayer cache;
  KvShape shape;
  const AttentionSequence* sequences = nullptr;  // [B]
  int64_t sequence_count = 0;
  int64_t max_queries = 0;  // no sequence has more; 0: not known. Saves a GPU a launch
  // For a GPU (the CPU does not look at them):
  const AttentionRun* runs = nullptr;  // [B], as many as there are and zeros behind; or null
  const AttentionSegment* segments = nullptr;  // of all sequences that decode, in their order
  int64_t segment_count = 0;                   // with places that are not used
  int64_t max_keys = 0;                        // no sequence that decodes has more
  void* out = nullptr;                         // [N, padded H E] act = out_act
  DType out_act = DType::kBF16;
  float* logsumexp = nullptr;  // [N, H], natural log, kept for the backward; may be null
  float scale = 0;
  int64_t rows = 0;
  int64_t heads = 0;
};

// The gated half of a feed-forward block in one pass: [gate, up] = x W^T, y = silu(gate) * up. Gate
// and up stay in fp32 on the way to y and go to memory only where a backward wants them.
struct GateUpArgs {
  const void* x = nullptr;  // [N, padded D] act = w.dtype
  PackedMatrix w;           // [2F, D]: gate's outputs, then up's
  void* y = nullptr;        // [N, padded F] act
  void* kept = nullptr;     // [N, padded 2F] act: gate, then up; null where nobody wants them
  int64_t rows = 0;
};

// SwiGLU again from what GateUp kept.
struct SwiGluArgs {
  const void* gate_up = nullptr;  // [N, padded 2F] act
  void* y = nullptr;              // [N, padded F] act
  DType act = DType::kBF16;
  int64_t rows = 0;
  int64_t width = 0;  // F
};

// Log-prob of given tokens under softmax(hidden W^T * inverse_temperature), without an N x V array:
// made in chunks of rows. Tokens at or beyond w.outputs have no probability.
struct LogProbArgs {
  const void* hidden = nullptr;                 // [N, padded D] act
  PackedMatrix w;                               // [V, D]
  const int32_t* targets = nullptr;             // [N]
  const float* inverse_temperatures = nullptr;  // [N]
  float* logprobs = nullptr;                    // [N], natural log
  float* entropies = nullptr;                   // [N] in nats, or null
  float* logsumexps = nullptr;                  // [N], kept for the backward, or null
  int64_t rows = 0;
};

struct SampleRow {
  float temperature = 1;  // 0: the most likely token, the lowest id among equals; its log-prob is
                          // given at temperature 1
  float top_p = 1;        // (0, 1]; 1 = off
  int64_t top_k = 0;      // 0 = off
  double uniform =
      0;  // in [0, 1): picks the token by the inverse of the cumulated distribution in order of id
};

// One token a row. `logprob` and `entropy` are of the distribution at the row's temperature before
// top-k and top-p, bit for bit what LogProb computes for that token.
struct SampleArgs {
  const void* hidden = nullptr;       // [B, padded D] act
  PackedMatrix w;                     // [V, D]
  const SampleRow* params = nullptr;  // [B]
  bool may_restrict = true;           // false: no row has top-k or top-p, which saves a look
  int32_t* tokens = nullptr;          // [B]
  float* logprobs = nullptr;          // [B]
  float* entropies = nullptr;         // [B]
  int64_t rows = 0;
};

// The tokens that one step drew become ids of the next one before the host has seen them. A row
// behind a token that ends its completion is made to do nothing: no queries, and what it writes
// goes to the spare slot.
struct FollowArgs {
  const int32_t* drawn = nullptr;          // tokens of the step before
  const int32_t* sources = nullptr;        // [N]: index in `drawn`, or -1: the row's id is there
  const int32_t* stops = nullptr;          // ids that end a completion, list behind list
  const int32_t* stop_begins = nullptr;    // [N]: where the row's list begins in `stops`
  const int32_t* stop_counts = nullptr;    // [N]
  int32_t* ids = nullptr;                  // [N]
  int32_t* slots = nullptr;                // [N]
  AttentionSequence* sequences = nullptr;  // [N]: where a row follows, row n is all of sequence n
  int32_t spare_slot = 0;
  int64_t rows = 0;
};

// ---- backward: gradients of the operations above. "d_" arrays are fp32. ----

struct EmbedBackwardArgs {
  const int32_t* ids = nullptr;  // [N]
  const float* d_out = nullptr;  // [N, D]
  float* d_table = nullptr;      // [V, D] row-major, added to
  int64_t rows = 0;
  int64_t width = 0;
  int64_t vocabulary = 0;
};

struct RmsNormBackwardArgs {
  const float* x = nullptr;            // [N, D]
  const float* weight = nullptr;       // [D]
  const float* inverse_rms = nullptr;  // [N]
  const float* d_y = nullptr;          // [N, D]
  float* d_x = nullptr;       // [N, D], added to (the residual's gradient is there already)
  float* d_weight = nullptr;  // [D], added to
  int64_t rows = 0;
  int64_t width = 0;
};

struct LinearBackwardArgs {
  const void* x = nullptr;     // [N, padded inputs] act
  const float* d_y = nullptr;  // [N, outputs]
  PackedMatrix w;
  float* d_x = nullptr;     // [N, inputs], overwritten
  float* d_w = nullptr;     // [outputs, inputs] row-major, added to
  float* d_bias = nullptr;  // [outputs], added to, or null
  int64_t rows = 0;
};

struct QkvRopeBackwardArgs {
  const float* qkv = nullptr;  // as in the forward
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  float norm_epsilon = 1e-6f;
  const float* cos_sin = nullptr;
  const int32_t* positions = nullptr;
  const int32_t* slots = nullptr;
  const float* d_q = nullptr;       // [N, H, E]
  const float* d_keys = nullptr;    // [slots, K, E]: gradients gathered by slot
  const float* d_values = nullptr;  // [slots, K, E]
  float* d_qkv = nullptr;           // [N, (H + 2K) E], overwritten
  float* d_q_norm = nullptr;        // [E], added to, or null
  float* d_k_norm = nullptr;        // [E], added to, or null
  KvShape shape;
  int64_t rows = 0;
  int64_t heads = 0;
};

struct AttentionBackwardArgs {
  const float* q = nullptr;  // [N, H, E]
  KvLayer cache;
  KvShape shape;
  const AttentionSequence* sequences = nullptr;
  int64_t sequence_count = 0;
  const void* out = nullptr;  // [N, padded H E] act
  DType out_act = DType::kBF16;
  const float* logsumexp = nullptr;  // [N, H]
  const float* d_out = nullptr;      // [N, H E]
  float* d_q = nullptr;              // [N, H, E], overwritten
  float* d_keys =
      nullptr;  // [slots, K, E], added to: sequences that share pages add into the same slots
  float* d_values = nullptr;  // [slots, K, E], added to
  float scale = 0;
  int64_t rows = 0;
  int64_t heads = 0;
};

struct SwiGluBackwardArgs {
  const void* gate_up = nullptr;  // [N, padded 2F] act
  const float* d_y = nullptr;     // [N, F]
  float* d_gate_up = nullptr;     // [N, 2F], overwritten
  DType act = DType::kBF16;
  int64_t rows = 0;
  int64_t width = 0;
};

// Recomputes the logits chunk by chunk. Rows whose d_logprobs is 0 cost nothing.
struct LogProbBackwardArgs {
  const void* hidden = nullptr;  // [N, padded D] act
  PackedMatrix w;
  const int32_t* targets = nullptr;
  const float* inverse_temperatures = nullptr;
  const float* logsumexps = nullptr;  // [N], of the forward
  const float* d_logprobs = nullptr;  // [N]
  float* d_hidden = nullptr;          // [N, D], overwritten
  float* d_w = nullptr;               // [V, D] row-major, added to
  int64_t rows = 0;
};

// ---- optimizer ----

// AdamW (Loshchilov and Hutter 2019) on one matrix or vector; also writes the working weights in
// packed order.
//   g = gradient * gradient_scale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2
//   master -= lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * master)
// The moments are floats, or, where `first_codes` is given, codes of 8 bits
// (kernels/moment_codes.h) with a scale for each kMomentBlock elements in a row, the last block
// shorter. The update then takes m and v from the codes as they were, in fp32; what is stored is
// rounded to the nearest code, but a v above 0 never to 0. A moment that is not finite makes its
// block's scale a NaN. A GPU takes master and moments from the host's memory too
// (Backend::AllocateHost).
inline constexpr int64_t kMomentBlock = 256;
inline int64_t MomentBlocks(int64_t count) { return (count + kMomentBlock - 1) / kMomentBlock; }

struct AdamWArgs {
  float* master = nullptr;          // [rows, columns]
  float* first_moment = nullptr;    // like master
  float* second_moment = nullptr;   // like master
  const float* gradient = nullptr;  // like master
  PackedMatrix working;             // data null: none (vectors work in fp32 from the master copy)
  uint8_t* first_codes = nullptr;   // [rows columns], in place of the moments above
  uint8_t* second_codes = nullptr;  // [rows columns]
  float* first_scales = nullptr;    // [MomentBlocks(rows columns)]: the block's largest |m|
  float* second_scales = nullptr;   // [MomentBlocks(rows columns)]: the block's largest v
  int64_t rows = 0;
  int64_t columns = 0;
  float learning_rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
  float gradient_scale = 1;
  int64_t step = 1;  // t, from 1
};

}  // namespace ponder::kernels
