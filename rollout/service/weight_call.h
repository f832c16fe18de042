#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "rollout/service/weight_stream.h"

namespace ponder {

// Answers one FetchWeights call: the snapshot in chunks, or NOT_FOUND where it is another version's
// than asked for or null. The snapshot lives until the call is over.
grpc::ServerWriteReactor<grpc::ByteBuffer>* AnswerFetchWeights(
    std::shared_ptr<const WeightSnapshot> snapshot, const grpc::ByteBuffer& request);

}  // namespace ponder
