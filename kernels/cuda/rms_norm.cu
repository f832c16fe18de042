#include <cuda_runtime.h>

#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/rms_norm.h"
#include "kernels/packed_matrix.h"

namespace ponder::kernels::cuda {

int DeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

const char* ErrorText(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

int LaunchRmsNorm(const RmsNormLaunch& launch, void* stream) {
  if (launch.rows < 0 || launch.rows > INT32_MAX || launch.width <= 0) return cudaErrorInvalidValue;
  if (launch.rows == 0) return cudaSuccess;
  const auto grid = static_cast<unsigned>(launch.rows);
  const auto on = static_cast<cudaStream_t>(stream);
  const int64_t padded = PaddedInputs(launch.width);
  if (launch.act == DType::kF32) {
    RmsNormKernel<<<grid, kNormThreads, 0, on>>>(launch.x, launch.weight,
                                                 static_cast<float*>(launch.y), launch.inverse_rms,
                                                 launch.epsilon, launch.width, padded);
  } else {
    RmsNormKernel<<<grid, kNormThreads, 0, on>>>(
        launch.x, launch.weight, static_cast<__nv_bfloat16*>(launch.y), launch.inverse_rms,
        launch.epsilon, launch.width, padded);
  }
  return cudaGetLastError();
}

}  // namespace ponder::kernels::cuda
