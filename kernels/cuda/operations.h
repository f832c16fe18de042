#pragma once

#include "kernels/cuda/context.h"
#include "kernels/operations.h"

// The operations of kernels/backend.h on a GPU: each launches its kernels on the context's stream
// and returns. Shapes that must fit are checked here; what lies in device memory is not looked at.
//
// Matrices (PackedMatrix) are row-major here: element (n, k) at n * PaddedInputs(inputs) + k, and
// as many bytes as on the CPU. Keys lie like values: K[p][h][s][e].
namespace ponder::kernels::cuda {

void Embed(const CudaContext& context, const EmbedArgs& args);
void RmsNorm(const CudaContext& context, const RmsNormArgs& args);
void Linear(const CudaContext& context, const LinearArgs& args);
void QkvRope(const CudaContext& context, const QkvRopeArgs& args);
void Attention(const CudaContext& context, const AttentionArgs& args);
void GateUp(const CudaContext& context, const GateUpArgs& args);
void LogProb(const CudaContext& context, const LogProbArgs& args);
void Sample(const CudaContext& context, const SampleArgs& args);
void Follow(const CudaContext& context, const FollowArgs& args);

void EmbedBackward(const CudaContext& context, const EmbedBackwardArgs& args);
void RmsNormBackward(const CudaContext& context, const RmsNormBackwardArgs& args);
void LinearBackward(const CudaContext& context, const LinearBackwardArgs& args);
void QkvRopeBackward(const CudaContext& context, const QkvRopeBackwardArgs& args);
void AttentionBackward(const CudaContext& context, const AttentionBackwardArgs& args);
void SwiGlu(const CudaContext& context, const SwiGluArgs& args);
void SwiGluBackward(const CudaContext& context, const SwiGluBackwardArgs& args);
void LogProbBackward(const CudaContext& context, const LogProbBackwardArgs& args);

void AdamW(const CudaContext& context, const AdamWArgs& args);
void Pack(const CudaContext& context, const float* source, const PackedMatrix& target);
void Unpack(const CudaContext& context, const PackedMatrix& source, float* target);
// Waits for the stream.
double SquaredNorm(const CudaContext& context, const float* values, int64_t count);

}  // namespace ponder::kernels::cuda
