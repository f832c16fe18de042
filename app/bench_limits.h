#pragma once

#include <algorithm>
#include <cstdint>

#include "model/weights.h"

namespace ponder {

// The least that a piece of a model's work needs: bytes that must come from memory, and operations
// (a multiply-add counts twice). What a machine can do at best follows from its probed rates.
struct Work {
  double bytes = 0;
  double operations = 0;

  Work& operator+=(const Work& other) {
    bytes += other.bytes;
    operations += other.operations;
    return *this;
  }
};

struct MachineRates {
  double read_bytes = 0;  // a second
  double operations = 0;  // a second
};

// The larger of both times: at best they overlap.
inline double LimitSeconds(const Work& work, const MachineRates& rates) {
  return std::max(work.bytes / rates.read_bytes, work.operations / rates.operations);
}

// The sizes that count, of one model in one working type.
struct ModelWork {
  double layer_parameters = 0;      // of the matrices of all layers
  double head_parameters = 0;       // V D
  double element_bytes = 0;         // of a weight, a key, a value
  double key_value_bytes = 0;       // of one token in all layers
  double attention_operations = 0;  // 4 L H E: of one query with one key, scores and values
  double parameters = 0;            // all, for the optimizer

  static ModelWork Of(const Weights& weights);

  // One decoding step of `sequences` whose new token sees `context` keys, itself included: the
  // weights and the cache once through memory; layers, attention and head for each row.
  Work Decode(double sequences, double context) const;
  // Prompts of `tokens`: the weights once for `forwards` passes, everything else by the row; the
  // head for the last row of each alone.
  Work Prefill(double prompts, double tokens, double forwards) const;
  // Forward and backward: 6 operations a matrix parameter and row, the head for the `targets`, and
  // attention three times its forward. `query_keys`: pairs of a query and a key that it sees.
  Work Train(double rows, double targets, double query_keys) const;
  // AdamW: master, both moments and the gradient are read; master, moments and working weights
  // written.
  Work Update() const;
};

}  // namespace ponder
