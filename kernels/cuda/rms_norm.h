#pragma once

#include <cstdint>

#include "kernels/dtype.h"

// Launchers of the CUDA kernels, on raw device pointers and a stream; plain C++, so that callers
// need no CUDA headers. All return at once: 0, or the CUDA error of the launch.
namespace ponder::kernels::cuda {

// Number of devices that can be used now; 0 where there is no driver.
int DeviceCount();
// What an error code means.
const char* ErrorText(int error);

struct RmsNormLaunch {
  const float* x = nullptr;       // [N, D]
  const float* weight = nullptr;  // [D]
  void* y =
      nullptr;  // [N, PaddedInputs(D)] act: x / sqrt(mean(x^2) + epsilon) * weight, then zeros
  float* inverse_rms = nullptr;  // [N], or null
  DType act = DType::kBF16;
  float epsilon = 1e-5f;
  int64_t rows = 0;   // N; 0 launches nothing
  int64_t width = 0;  // D > 0
};

// `stream` is a cudaStream_t; null is the default stream. A row is summed by one block of a fixed
// size: in an order that depends on D alone.
int LaunchRmsNorm(const RmsNormLaunch& launch, void* stream);

}  // namespace ponder::kernels::cuda
