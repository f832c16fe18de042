#include "rollout/service/weight_call.h"

#include <utility>

#include "rollout/service/convert.h"

namespace ponder {
namespace {

// Sends a snapshot down one FetchWeights call.
class WeightWriter : public grpc::ServerWriteReactor<v1::WeightChunk> {
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
    if (chunker_.Next(chunk_)) {
      StartWrite(&chunk_);
    } else {
      Finish(grpc::Status::OK);
    }
  }

  WeightChunker chunker_;
  v1::WeightChunk chunk_;
};

class WeightRefusal : public grpc::ServerWriteReactor<v1::WeightChunk> {
 public:
  explicit WeightRefusal(const absl::Status& status) { Finish(ToGrpc(status)); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::WeightChunk>* AnswerFetchWeights(
    std::shared_ptr<const WeightSnapshot> snapshot, int64_t version) {
  if (snapshot == nullptr || snapshot->version != version) {
    return new WeightRefusal(NotFound("policy version {} is not the current one", version));
  }
  return new WeightWriter(std::move(snapshot));
}

}  // namespace ponder
