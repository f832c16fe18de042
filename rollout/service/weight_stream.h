#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "rollout/service/weight_snapshot.h"

namespace ponder {

// Large enough that a chunk's own costs vanish, small enough that sender and receiver work on
// different ones at once.
inline constexpr int64_t kWeightChunkBytes = 1 << 20;
// What a receiver takes.
inline constexpr int64_t kMaxWeightChunkBytes = 4 << 20;

// Cuts a snapshot into messages of v1::WeightChunk, which hold its bytes without copying them.
class WeightChunker {
 public:
  explicit WeightChunker(std::shared_ptr<const WeightSnapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}

  bool Done() const { return offset_ == snapshot_->Bytes(); }
  // The next one, before the end; waits where the snapshot is still being made.
  absl::StatusOr<grpc::ByteBuffer> Next();

 private:
  const std::shared_ptr<const WeightSnapshot> snapshot_;
  int64_t offset_ = 0;
};

// Puts chunks together again, aside of the weights in use, which change only when every byte is
// there and verified.
class WeightAssembler {
 public:
  // Expects what fits `weights`, as policy `version`, and collects it in `arena`
  // (Weights::MakeArena). Both outlive the assembler.
  WeightAssembler(const Weights& weights, kernels::DeviceBuffer& arena, int64_t version)
      : weights_(weights), arena_(arena), version_(version) {}

  // Takes a message of v1::WeightChunk. DATA_LOSS where it is damaged or not the one that follows;
  // the assembler is of no use then.
  absl::Status Add(grpc::ByteBuffer message);
  // DATA_LOSS where something is missing.
  absl::Status Finish() const;

 private:
  const Weights& weights_;
  kernels::DeviceBuffer& arena_;
  const int64_t version_;
  int64_t done_ = 0;  // bytes
};

}  // namespace ponder
