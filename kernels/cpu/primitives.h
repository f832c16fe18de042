#pragma once

#include <cstdint>

#include "kernels/backend.h"

// The innermost loops, once for each instruction set. Everything above (shape checks, blocking,
// threads) is plain C++ and calls them through this table; a call does enough work that the
// indirection costs nothing.
namespace ponder::kernels::cpu {

// y = x W^T for some rows and some panels of 16 outputs. Each element is one chain of sums over the
// inputs in ascending order (pairs of inputs with VDPBF16PS), whatever the rows and panels beside
// it.
struct MatMulBlock {
  const void* x = nullptr;       // [rows, x_stride] of dtype
  int64_t x_stride = 0;          // in elements
  const void* panels = nullptr;  // the first panel
  DType dtype = DType::kBF16;
  int64_t inputs = 0;  // padded: a multiple of 32
  int64_t rows = 0;
  int64_t outputs = 0;          // of these panels; the last may be partly used
  const float* bias = nullptr;  // of the first output, or null
  float* y = nullptr;           // [rows, y_stride]
  int64_t y_stride = 0;
  Store store = Store::kOverwrite;
  int64_t copied_inputs = 0;  // that are copied at once: a multiple of 16
  void* scratch = nullptr;    // for the copy, and for the sums of all rows and panels that wait for
                              // its next part; 64-byte aligned; tiles do without where it is null
};

// Bytes left free behind each row of a copy of x: rows of a multiple of 4 KiB would all fall on the
// same few lines of the inner cache.
inline constexpr int64_t kCopyPadding = 64;

// What mat_mul likes to be given at once, when there is more, and in which order.
struct MatMulBlocking {
  int64_t rows = 0;             // most rows
  int64_t row_unit = 0;         // blocks are multiples of it, but for the last
  int64_t few_rows = 0;         // so many use each panel once
  int64_t input_bytes = 0;      // of a block's rows, unless row_unit rows have more; 0: no limit
  int64_t panel_bytes = 0;      // of a block's panels, one at least
  bool rows_first = false;      // all panels for a block of rows, or all rows for a block of panels
  int64_t copy_bytes = 0;       // of an input in the copy of a bf16 x that mat_mul makes; 0: none
  int64_t copied_elements = 0;  // most of that copy, which is made anew for the next inputs; 0: all
};

// y = silu(gate) * up for some rows and columns of a product that has just been computed.
struct SwiGluTile {
  const float* gate = nullptr;  // [rows, stride]
  const float* up = nullptr;    // [rows, stride]
  int64_t stride = 0;
  DType act = DType::kBF16;
  void* y = nullptr;  // [rows, y_stride] act, at the first column
  int64_t y_stride = 0;
  void* kept_gate = nullptr;  // [rows, kept_stride] act, at the first column; null with kept_up
  void* kept_up = nullptr;
  int64_t kept_stride = 0;
  int64_t rows = 0;
  int64_t columns = 0;
};

// Of the scores s of one row over one tile of the vocabulary.
struct TileStats {
  float max = 0;       // the largest s
  float sum = 0;       // sum of exp(s - max)
  float weighted = 0;  // sum of exp(s - max) (s - max)
};

// Some queries of one sequence, or the only query of each of several neighbours that begin with the
// same pages, with all query heads of one key/value head. The kernels' rows are (query, head)
// pairs.
struct AttentionItem {
  const AttentionSequence* sequence = nullptr;  // the first
  int64_t kv_head = 0;
  int64_t query_begin = 0;  // in the sequence
  int64_t query_end = 0;
  int64_t sequence_count = 1;
  int64_t shared_pages = 0;  // whole ones of all sequences, where there are several
};

// A sequence that reads a page: page `ordinal` of its list.
struct PageUse {
  const AttentionSequence* sequence = nullptr;
  int64_t ordinal = 0;
};

// Pages that the same sequences read, one after the other.
struct PageRun {
  const PageUse* uses = nullptr;  // of the first page
  int64_t use_count = 0;
  int64_t count = 0;  // of pages
};

// Pages between two moves of the running maximum: enough scores side by side to hide the latency of
// a multiply-add for a few rows, few enough that keys and values stay in the first-level cache.
inline constexpr int kBlockPages = 4;

inline constexpr int64_t kAttentionItemRows =
    48;  // most (query, head) pairs of an item, unless one query has more

// What attention's backward likes to be given at once.
struct AttentionBlocking {
  int64_t rows = kAttentionItemRows;  // most rows of an item by queries, unless one query has more
  int64_t pages = 1;                  // most pages of a run; leaves the bits alone
};
// The largest of any instruction set.
inline constexpr AttentionBlocking kMostAttentionBlocking = {.rows = 128, .pages = 8};

inline constexpr int64_t kMaxHeadWidth = 512;  // E: heads are turned in buffers on the stack

struct AdamWFactors {
  float first_correction = 1;   // 1 / (1 - b1^t)
  float second_correction = 1;  // 1 / (1 - b2^t)
};

struct Primitives {
  void (*mat_mul)(const MatMulBlock& block);
  MatMulBlocking mat_mul_blocking;

  // Rows [begin, end) of an operation.
  void (*rms_norm)(const RmsNormArgs& args, int64_t begin, int64_t end);
  void (*qkv_rope)(const QkvRopeArgs& args, int64_t begin, int64_t end);
  void (*swiglu)(const SwiGluArgs& args, int64_t begin, int64_t end);
  void (*swiglu_tile)(const SwiGluTile& tile);
  void (*swiglu_backward)(const SwiGluBackwardArgs& args, int64_t begin, int64_t end);
  // d_weight, d_q_norm and d_k_norm are sums over these rows alone: [D], [E], [E]; the latter two
  // may be null.
  void (*rms_norm_backward)(const RmsNormBackwardArgs& args, int64_t begin, int64_t end,
                            float* d_weight);
  void (*qkv_rope_backward)(const QkvRopeBackwardArgs& args, int64_t begin, int64_t end,
                            float* d_q_norm, float* d_k_norm);

  // `scratch` holds AttentionScratchFloats() floats, 64-byte aligned. `next`, or null, is what this
  // thread will probably work on afterwards: its first keys are fetched.
  void (*attention)(const AttentionArgs& args, const AttentionItem& item, const AttentionItem* next,
                    float* scratch);
  // delta[row, head] = sum over e of out * d_out, for rows [begin, end).
  void (*attention_delta)(const AttentionBackwardArgs& args, int64_t begin, int64_t end,
                          float* delta);
  // d_q of the item's rows.
  void (*attention_backward_queries)(const AttentionBackwardArgs& args, const AttentionItem& item,
                                     const float* delta, float* scratch);
  // d_keys and d_values of a run of pages and one key/value head, over all sequences that read
  // them, in their order.
  void (*attention_backward_pages)(const AttentionBackwardArgs& args, const PageRun& run,
                                   int64_t kv_head, const float* delta, float* scratch);
  AttentionBlocking attention_backward_blocking;

  // Scores are logits * scale.
  TileStats (*tile_stats)(const float* logits, float scale, int64_t n);
  // logits[i] becomes d_logprob * scale * ((i == target) - exp(logits[i] * scale - logsumexp));
  // target may be outside [0, n).
  void (*tile_gradient)(float* logits, float scale, float logsumexp, float d_logprob,
                        int64_t target, int64_t n);
  // out[i] = exp(logits[i] * scale - max)
  void (*exp_scaled)(const float* logits, float scale, float max, int64_t n, float* out);

  // Widens or narrows n elements; `out` is of dtype.
  void (*round_to)(const float* in, void* out, DType dtype, int64_t n);
  // y += x
  void (*add)(const float* x, float* y, int64_t n);
  // AdamW on rows [begin, end), and their working weights where there are any (begin a multiple of
  // 16).
  void (*adamw)(const AdamWArgs& args, const AdamWFactors& factors, int64_t begin, int64_t end);
  void (*pack_panel)(const float* source, const PackedMatrix& target, int64_t panel);
  void (*unpack_panel)(const PackedMatrix& source, float* target, int64_t panel);

  // Repacking for the backward products.
  //
  // Outputs [32 block, 32 block + 32) of the packed W [O, I] (from its panel 2 * block on) become
  // inputs of the packed W^T [I, O]: `out` is packed with I outputs and `out_inputs` padded inputs,
  // of which the block fills [32 block, 32 block + 32).
  void (*transpose_packed)(const PackedMatrix& w, int64_t block, void* out, int64_t out_inputs);
  // x [rows <= 32, stride] of dtype becomes inputs [32 block, ...) of the packed x^T [width,
  // out_inputs]; missing rows are zero.
  void (*pack_transposed)(const void* x, int64_t stride, int64_t rows, int64_t width, DType dtype,
                          int64_t block, void* out, int64_t out_inputs);
  // x [rows <= 32, stride] fp32 becomes columns [32 block, ...) of x^T [width, out_stride] of
  // dtype; missing rows are zero.
  void (*transpose_rows)(const float* x, int64_t stride, int64_t rows, int64_t width, DType dtype,
                         int64_t block, void* out, int64_t out_stride);

  double (*squared_norm)(const float* values, int64_t n);
};

// Floats of scratch for an attention item or run of pages, in all directions.
int64_t AttentionScratchFloats(int64_t group, int64_t head_width);

// FAILED_PRECONDITION is the caller's business: the processor must have the instruction set.
const Primitives& PortablePrimitives();
const Primitives& Avx2Primitives();
const Primitives& Avx512Primitives();
const Primitives& Avx512Bf16Primitives();
const Primitives& AmxPrimitives();
const Primitives& AmxEmulatedPrimitives();

}  // namespace ponder::kernels::cpu
