#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <utility>

#include "base/check.h"

namespace ponder::kernels::cuda {

// A failed call is a broken precondition or a lost device: neither can be mended here.
inline void CheckCuda(cudaError_t error, const char* what) {
  PONDER_CHECK(error == cudaSuccess, std::string(what) + ": " + cudaGetErrorString(error));
}

struct Grid {
  int64_t blocks = 0;  // 0 launches nothing
  int64_t blocks_y = 1;
  int64_t blocks_z = 1;
  int threads = 0;
  int64_t shared_bytes = 0;
};

// Puts `kernel` on the stream and returns.
template <typename... Parameters, typename... Arguments>
void Launch(const Grid& grid, cudaStream_t stream, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (grid.blocks == 0 || grid.blocks_y == 0 || grid.blocks_z == 0) return;
  PONDER_CHECK(grid.blocks <= INT32_MAX && grid.blocks_y <= 65535 && grid.blocks_z <= 65535);
  constexpr int64_t kAlwaysThere = 48 << 10;
  if (grid.shared_bytes > kAlwaysThere) {
    CheckCuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(grid.shared_bytes)),
              "shared memory");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = {static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.blocks_y),
                    static_cast<unsigned>(grid.blocks_z)};
  config.blockDim = {static_cast<unsigned>(grid.threads), 1, 1};
  config.dynamicSmemBytes = static_cast<size_t>(grid.shared_bytes);
  config.stream = stream;
  CheckCuda(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), "launch");
}

inline int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace ponder::kernels::cuda
