#pragma once

namespace ponder::kernels {

// kExact keeps what kernels/operations.h promises. kFast gives the exactness of the forward up for
// speed: bits then depend on the batch, so that even the sampler of the same process computes other
// log-probs than the learner, and the fingerprint ends in "-fast".
enum class Numerics { kExact, kFast };

}  // namespace ponder::kernels
