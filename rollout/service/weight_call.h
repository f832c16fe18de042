#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>

#include "ponder/v1/rollout.pb.h"
#include "rollout/service/weight_stream.h"

namespace ponder {

// Answers one FetchWeights call for `version`: the snapshot in chunks, or NOT_FOUND where it is
// another version's or null. The snapshot lives until the call is over.
grpc::ServerWriteReactor<v1::WeightChunk>* AnswerFetchWeights(
    std::shared_ptr<const WeightSnapshot> snapshot, int64_t version);

}  // namespace ponder
