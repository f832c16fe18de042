#include "rollout/service/weight_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "ponder/v1/rollout.pb.h"
#include "rollout/service/convert.h"

namespace ponder {
namespace {

// Sends a snapshot down one FetchWeights call.
class WeightWriter : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit WeightWriter(std::shared_ptr<const WeightSnapshot> snapshot)
      : chunker_(std::move(snapshot)) {
    Next();
  }

 private:
  void OnWriteDone(bool ok) override {
    if (ok) {
      Next();
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }
  void OnDone() override { delete this; }

  void Next() {
    if (chunker_.Done()) {
      Finish(grpc::Status::OK);
      return;
    }
    absl::StatusOr<grpc::ByteBuffer> chunk = chunker_.Next();
    if (!chunk.ok()) {
      Finish(ToGrpc(chunk.status()));
      return;
    }
    chunk_ = *std::move(chunk);
    StartWrite(&chunk_);
  }

  WeightChunker chunker_;
  grpc::ByteBuffer chunk_;
};

class WeightRefusal : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit WeightRefusal(const grpc::Status& status) { Finish(status); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* AnswerFetchWeights(
    std::shared_ptr<const WeightSnapshot> snapshot, const grpc::ByteBuffer& request) {
  v1::FetchWeightsRequest asked;
  grpc::ByteBuffer bytes = request;
  const grpc::Status parsed =
      grpc::SerializationTraits<v1::FetchWeightsRequest>::Deserialize(&bytes, &asked);
  if (!parsed.ok()) return new WeightRefusal(parsed);
  if (snapshot == nullptr || snapshot->Version() != asked.policy_version()) {
    return new WeightRefusal(
        ToGrpc(NotFound("policy version {} is not the current one", asked.policy_version())));
  }
  return new WeightWriter(std::move(snapshot));
}

}  // namespace ponder
