#include "rollout/service/weight_stream.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "ponder/v1/rollout.pb.h"

namespace ponder {
namespace {

using google::protobuf::internal::WireFormatLite;
using Snapshot = std::shared_ptr<const WeightSnapshot>;

constexpr uint32_t Tag(int field, WireFormatLite::WireType type) {
  return WireFormatLite::MakeTag(field, type);
}

// Feeds `count` bytes of `in` to `take` as they lie there. False where they end before.
template <typename Take>
bool ForEachRun(google::protobuf::io::CodedInputStream& in, int64_t count, const Take& take) {
  while (count > 0) {
    const void* data = nullptr;
    int size = 0;
    if (!in.GetDirectBufferPointer(&data, &size)) return false;
    const int64_t run = std::min<int64_t>(size, count);
    take(data, run);
    in.Skip(static_cast<int>(run));
    count -= run;
  }
  return true;
}

struct HashState {
  HashState() : state(XXH3_createState()) { XXH3_64bits_reset(state); }
  ~HashState() { XXH3_freeState(state); }
  XXH3_state_t* const state;
};

}  // namespace

absl::StatusOr<grpc::ByteBuffer> WeightChunker::Next() {
  const int64_t count = std::min(kWeightChunkBytes, snapshot_->Bytes() - offset_);
  PONDER_ASSIGN_OR_RETURN(const std::string_view bytes, snapshot_->Await(offset_, count));
  v1::WeightChunk chunk;
  chunk.set_policy_version(snapshot_->Version());
  chunk.set_offset(offset_);
  chunk.set_xxh3(XXH3_64bits(bytes.data(), bytes.size()));
  std::string head = chunk.SerializeAsString();
  {
    google::protobuf::io::StringOutputStream stream(&head);
    // The stream goes on behind what the string holds.
    google::protobuf::io::CodedOutputStream out(&stream);
    out.WriteTag(Tag(v1::WeightChunk::kDataFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
    out.WriteVarint64(bytes.size());
  }
  offset_ += count;
  const grpc::Slice slices[] = {
      grpc::Slice(head),
      grpc::Slice(
          const_cast<char*>(bytes.data()), bytes.size(),
          [](void* held) { delete static_cast<Snapshot*>(held); }, new Snapshot(snapshot_))};
  return grpc::ByteBuffer(slices, std::size(slices));
}

absl::Status WeightAssembler::Add(grpc::ByteBuffer message) {
  const auto where = [&] {
    return fmt::format("weights of policy version {} at byte {} of {}", version_, done_,
                       weights_.ArenaBytes());
  };
  grpc::ProtoBufferReader reader(&message);
  google::protobuf::io::CodedInputStream in(&reader);
  uint64_t version = 0, offset = 0, announced = 0;
  int64_t size = 0;
  HashState hash;
  while (const uint32_t tag = in.ReadTag()) {
    bool whole = true;
    if (size > 0) {
      return DataLoss("{}: expected nothing behind a chunk's data, found a field", where());
    } else if (tag ==
               Tag(v1::WeightChunk::kPolicyVersionFieldNumber, WireFormatLite::WIRETYPE_VARINT)) {
      whole = in.ReadVarint64(&version);
    } else if (tag == Tag(v1::WeightChunk::kOffsetFieldNumber, WireFormatLite::WIRETYPE_VARINT)) {
      whole = in.ReadVarint64(&offset);
    } else if (tag == Tag(v1::WeightChunk::kXxh3FieldNumber, WireFormatLite::WIRETYPE_FIXED64)) {
      whole = in.ReadLittleEndian64(&announced);
    } else if (tag ==
               Tag(v1::WeightChunk::kDataFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED)) {
      if (static_cast<int64_t>(version) != version_) {
        return DataLoss("{}: found a chunk of version {}", where(), static_cast<int64_t>(version));
      }
      if (static_cast<int64_t>(offset) != done_) {
        return DataLoss("{}: found the chunk of byte {}", where(), static_cast<int64_t>(offset));
      }
      uint64_t length = 0;
      const auto room =
          static_cast<uint64_t>(std::min(kMaxWeightChunkBytes, weights_.ArenaBytes() - done_));
      whole = in.ReadVarint64(&length);
      if (whole && (length < 1 || length > room)) {
        return DataLoss("{}: expected 1 to {} bytes, found {}", where(), room, length);
      }
      // Hashed and copied while it is in a cache.
      whole =
          whole && ForEachRun(in, static_cast<int64_t>(length), [&](const void* data, int64_t run) {
            XXH3_64bits_update(hash.state, data, static_cast<size_t>(run));
            weights_.ImportArena(arena_, done_ + size, run, data);
            size += run;
          });
    } else {
      whole = WireFormatLite::SkipField(&in, tag);
    }
    if (!whole) return DataLoss("{}: found a chunk that is cut off", where());
  }
  if (size == 0) return DataLoss("{}: found a chunk without data", where());
  if (const uint64_t checksum = XXH3_64bits_digest(hash.state); checksum != announced) {
    return DataLoss("{}: checksum {:016x}, announced {:016x}: damaged on the way", where(),
                    checksum, announced);
  }
  done_ += size;
  return absl::OkStatus();
}

absl::Status WeightAssembler::Finish() const {
  if (done_ == weights_.ArenaBytes()) return absl::OkStatus();
  return DataLoss("weights of policy version {} ended after {} of {} bytes", version_, done_,
                  weights_.ArenaBytes());
}

}  // namespace ponder
