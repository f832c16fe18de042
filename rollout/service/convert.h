#pragma once

#include <grpcpp/support/status.h>

#include "base/records.h"
#include "base/status.h"
#include "ponder/v1/rollout.pb.h"
#include "rollout/engine.h"

namespace ponder {

// Between messages and plain records. Nothing is checked here: see CheckCompletion and
// RolloutEngine::Submit.
void ToProto(const Completion& completion, v1::Completion& message);
Completion FromProto(const v1::Completion& message);
void ToProto(const SamplingParams& sampling, v1::SamplingParams& message);
SamplingParams FromProto(const v1::SamplingParams& message);

// The codes are the same numbers.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// A message must be able to hold a lease of completions of some ten thousand tokens each; what is
// larger is an error on purpose.
inline constexpr int kMaxMessageBytes = 64 << 20;

}  // namespace ponder
