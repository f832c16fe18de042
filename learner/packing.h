#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "learner/trainer.h"
#include "model/decoder.h"

namespace ponder {

// Where a target token comes from: for messages and tests.
struct TokenOrigin {
  int64_t group = 0;       // index into the span that was packed
  int64_t completion = 0;  // index into its completions
  int64_t token = 0;       // index into the completion's tokens

  auto operator<=>(const TokenOrigin&) const = default;
};

// One forward and backward. A "target row" is a row of the batch whose next token was sampled by a
// model (or, in supervised fine-tuning, belongs to a completion); a row is a target row at most
// once. The arrays below are parallel, one entry a target row, in order of the rows. Move only: the
// batch's sequences point into its page tables.
struct MicroBatch {
  MicroBatch() = default;
  MicroBatch(MicroBatch&&) = default;
  MicroBatch& operator=(MicroBatch&&) = default;

  DecoderBatch batch;
  int64_t pages = 0;  // pages 0 ... pages - 1 of the cache are used

  std::vector<int64_t> rows;
  std::vector<int32_t> targets;
  std::vector<float> inverse_temperatures;  // 1 / temperature; 1 for greedy
  std::vector<float> behaviour;             // behaviour log-probs; 0 in supervised fine-tuning
  std::vector<float> advantages;  // of the target's completion; 0 in supervised fine-tuning
  std::vector<float> weights;     // of the token in the loss: the aggregation
  std::vector<int64_t> versions;  // policy version that sampled the target
  // 1 where that version has sampled all of the completion up to the target: then the keys and
  // values behind it were that version's too. Weights swapped under way leave older ones there, so
  // the sampler's log-probs are not what one version computes.
  std::vector<uint8_t> is_one_version;
  std::vector<TokenOrigin> origins;
};

struct PackingLimits {
  int64_t max_rows = 0;
  int64_t max_pages = 0;
  int64_t max_positions = 0;     // of the model
  int64_t vocabulary = 0;        // prompt and completion ids are below
  int64_t valid_vocabulary = 0;  // targets are below
};

// Pages a cache needs for micro-batches of this many rows: answers start at a page of their own, so
// part of a page is lost with each; twice the dense count leaves room down to answers of 16 tokens.
int64_t MicroBatchPages(int64_t micro_batch_tokens);

// Which part of the groups, or examples, a device takes: they are dealt out whole, the largest
// first, each to the rank with the fewest rows so far.
struct PackingShare {
  int64_t rank = 0;
  int64_t ranks = 1;
};

struct Packing {
  std::vector<MicroBatch> micro_batches;
  int64_t completions = 0;     // all, whatever their advantage: what the loss is normalised by
  int64_t sampled_tokens = 0;  // of those
  int64_t left_out_completions = 0;  // of groups whose advantages are all 0
  int64_t all_target_tokens = 0;     // of the micro-batches of all ranks
  int64_t target_tokens = 0;         // in the micro-batches here
  int64_t rows = 0;                  // of those
};

// Turns groups into micro-batches. The completions of a group share the pages of the prompt's whole
// pages (as many as leave at least one prompt token for each completion's own rows), so the shared
// rows are computed once; a group too large for one micro-batch is split by completions and the
// prefix repeated. Nothing is computed after a completion's last sampled token. `max_new_tokens` is
// the divisor of the "constant" aggregation. Everything is checked and counted, whatever the share.
//
// INVALID_ARGUMENT, naming task and completion, where array lengths disagree, an id is outside the
// vocabulary, or one prompt with one completion has more rows than fit.
absl::StatusOr<Packing> PackGroups(std::span<const ScoredGroup> groups,
                                   const std::string& aggregation, int64_t max_new_tokens,
                                   const PackingLimits& limits, PackingShare share = {});

// The same for supervised fine-tuning: every completion token is a target of weight 1 / (completion
// tokens of all examples).
absl::StatusOr<Packing> PackExamples(std::span<const SftExample> examples,
                                     const PackingLimits& limits, PackingShare share = {});

}  // namespace ponder
