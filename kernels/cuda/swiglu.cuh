#pragma once

#include "kernels/cuda/device.cuh"

namespace ponder::kernels::cuda {

__device__ inline float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// silu(gate) up: the one place, so that GateUp and SwiGlu agree.
__device__ inline float SiluTimes(float gate, float up) { return gate * Sigmoid(gate) * up; }

}  // namespace ponder::kernels::cuda
