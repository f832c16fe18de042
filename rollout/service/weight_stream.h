#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/weights.h"
#include "ponder/v1/rollout.pb.h"

namespace ponder {

// The working bytes of a policy version: a copy, so that the policy may go on.
struct WeightSnapshot {
  int64_t version = 0;
  std::vector<std::string> parameters;  // Weights::ExportWorking of each, in layout order
};
std::shared_ptr<const WeightSnapshot> TakeSnapshot(const Weights& weights, int64_t version);

inline constexpr int64_t kWeightChunkBytes = 1 << 20;

// Cuts a snapshot into chunks: parameter by parameter, offsets ascending.
class WeightChunker {
 public:
  explicit WeightChunker(std::shared_ptr<const WeightSnapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}

  // False after the last one.
  bool Next(v1::WeightChunk& chunk);

 private:
  const std::shared_ptr<const WeightSnapshot> snapshot_;
  size_t parameter_ = 0;
  size_t offset_ = 0;
};

// Puts chunks together again, aside of the weights in use, which change only when every byte is
// there and verified.
class WeightAssembler {
 public:
  // Expects what fits `weights`, which outlives the assembler, as policy `version`.
  WeightAssembler(const Weights& weights, int64_t version);

  // DATA_LOSS where a chunk is damaged or not the one that follows; the assembler is of no use
  // then.
  absl::Status Add(const v1::WeightChunk& chunk);
  // Writes everything into `weights` and sets their version. DATA_LOSS, with nothing written, where
  // something is missing.
  absl::Status Install(Weights& weights);

 private:
  std::vector<std::string> parameters_;
  std::vector<int64_t> sizes_;  // bytes expected
  const int64_t version_;
  size_t parameter_ = 0;  // the next chunk's
  bool last_ = false;
};

}  // namespace ponder
