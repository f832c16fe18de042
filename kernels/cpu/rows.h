#pragma once

#include "kernels/cpu/context.h"

// Operations that work on each row by itself, and their backward.
namespace ponder::kernels::cpu {

void Embed(const CpuContext& context, const EmbedArgs& args);
void RmsNorm(const CpuContext& context, const RmsNormArgs& args);
void QkvRope(const CpuContext& context, const QkvRopeArgs& args);
void SwiGlu(const CpuContext& context, const SwiGluArgs& args);
void Follow(const FollowArgs& args);

void EmbedBackward(const CpuContext& context, const EmbedBackwardArgs& args);
void RmsNormBackward(const CpuContext& context, const RmsNormBackwardArgs& args);
void QkvRopeBackward(const CpuContext& context, const QkvRopeBackwardArgs& args);
void SwiGluBackward(const CpuContext& context, const SwiGluBackwardArgs& args);

}  // namespace ponder::kernels::cpu
