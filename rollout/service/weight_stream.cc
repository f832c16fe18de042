#include "rollout/service/weight_stream.h"

#include <xxhash.h>

#include <algorithm>

#include "base/check.h"

namespace ponder {
namespace {

uint64_t Checksum(const std::string& bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace

std::shared_ptr<const WeightSnapshot> TakeSnapshot(const Weights& weights, int64_t version) {
  auto snapshot = std::make_shared<WeightSnapshot>();
  snapshot->version = version;
  const int64_t parameters = std::ssize(weights.Layout().parameters);
  for (int64_t i = 0; i < parameters; ++i) snapshot->parameters.push_back(weights.ExportWorking(i));
  return snapshot;
}

bool WeightChunker::Next(v1::WeightChunk& chunk) {
  if (parameter_ == snapshot_->parameters.size()) return false;
  const std::string& bytes = snapshot_->parameters[parameter_];
  chunk.set_policy_version(snapshot_->version);
  chunk.set_parameter(static_cast<int64_t>(parameter_));
  chunk.set_offset(static_cast<int64_t>(offset_));
  chunk.mutable_data()->assign(bytes, offset_, kWeightChunkBytes);
  chunk.set_xxh3(Checksum(chunk.data()));
  offset_ += chunk.data().size();
  if (offset_ == bytes.size()) {
    ++parameter_;
    offset_ = 0;
  }
  chunk.set_last(parameter_ == snapshot_->parameters.size());
  return true;
}

WeightAssembler::WeightAssembler(const Weights& weights, int64_t version) : version_(version) {
  const int64_t parameters = std::ssize(weights.Layout().parameters);
  for (int64_t i = 0; i < parameters; ++i) sizes_.push_back(weights.WorkingBytes(i));
  parameters_.resize(sizes_.size());
}

absl::Status WeightAssembler::Add(const v1::WeightChunk& chunk) {
  const auto where = [&] {
    return fmt::format("weights of policy version {}, parameter {} at byte {}",
                       chunk.policy_version(), chunk.parameter(), chunk.offset());
  };
  if (chunk.policy_version() != version_) {
    return DataLoss("{}: expected policy version {}", where(), version_);
  }
  if (last_ || parameter_ == sizes_.size())
    return DataLoss("{}: came after the last chunk", where());
  std::string& bytes = parameters_[parameter_];
  if (chunk.parameter() != static_cast<int64_t>(parameter_) ||
      chunk.offset() != std::ssize(bytes)) {
    return DataLoss("{}: expected parameter {} at byte {} next", where(), parameter_, bytes.size());
  }
  const int64_t room = sizes_[parameter_] - std::ssize(bytes);
  if (chunk.data().empty() || std::ssize(chunk.data()) > std::min(room, kWeightChunkBytes)) {
    return DataLoss("{}: expected 1 to {} bytes, found {}", where(),
                    std::min(room, kWeightChunkBytes), chunk.data().size());
  }
  if (const uint64_t checksum = Checksum(chunk.data()); checksum != chunk.xxh3()) {
    return DataLoss("{}: checksum {:016x}, announced {:016x}: damaged on the way", where(),
                    checksum, chunk.xxh3());
  }
  if (bytes.empty()) bytes.reserve(sizes_[parameter_]);
  bytes += chunk.data();
  if (std::ssize(bytes) == sizes_[parameter_]) ++parameter_;
  last_ = chunk.last();
  return absl::OkStatus();
}

absl::Status WeightAssembler::Install(Weights& weights) {
  if (!last_ || parameter_ != sizes_.size()) {
    return DataLoss("weights of policy version {} ended after {} of {} parameters", version_,
                    parameter_, sizes_.size());
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    PONDER_RETURN_IF_ERROR(weights.ImportWorking(static_cast<int64_t>(i), parameters_[i]));
  }
  weights.SetVersion(version_);
  return absl::OkStatus();
}

}  // namespace ponder
