#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "base/status.h"

namespace ponder::kernels::cuda {

// What is used of NCCL 2, whose interface is stable; declared here, so that neither the build nor a
// machine with one GPU needs it. Results are 0 for success.
using NcclComm = struct ncclComm*;
inline constexpr int kNcclUint8 = 1, kNcclFloat32 = 7;  // ncclDataType_t
inline constexpr int kNcclSum = 0;                      // ncclRedOp_t

struct NcclLibrary {
  int (*get_version)(int* version) = nullptr;
  const char* (*get_error_string)(int result) = nullptr;
  int (*comm_init_all)(NcclComm* comms, int count, const int* devices) = nullptr;
  int (*comm_destroy)(NcclComm comm) = nullptr;
  int (*comm_abort)(NcclComm comm) = nullptr;
  int (*all_reduce)(const void* send, void* receive, size_t count, int type, int operation,
                    NcclComm comm, cudaStream_t stream) = nullptr;
  int (*broadcast)(const void* send, void* receive, size_t count, int type, int root, NcclComm comm,
                   cudaStream_t stream) = nullptr;
};

// libnccl.so.2, loaded on first use; it stays. NOT_FOUND where the system cannot load it.
absl::StatusOr<const NcclLibrary*> LoadNccl();

}  // namespace ponder::kernels::cuda
