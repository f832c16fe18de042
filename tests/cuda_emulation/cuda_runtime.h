#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

// What kernels/cuda needs of the CUDA runtime and language, on a processor: the same sources,
// compiled by a C++ compiler with this folder before the toolkit's, run where there is no GPU.
//
// - A kernel's threads are fibers. They go on one after the other until each waits at a barrier or
//   an exchange of its warp, in an order that tests can turn round: a missing barrier shows in one
//   of the two. A barrier that some threads never reach is an error, not a hang.
// - Device memory cannot be touched outside of kernels and copies: host code that follows a device
//   pointer crashes, and so does a kernel that runs over the end of an allocation.
// - Streams do nothing until something waits for them: host code that does not wait reads old
//   bytes. Shared memory starts as NaNs.
// - There are two devices. A stream takes work only from a thread whose device is its own, and a
//   kernel that touches the other device's memory crashes.
//
// What it cannot show: the arithmetic of the tensor cores to the last bit, races inside a warp, and
// speed.
#define PONDER_CUDA_EMULATION 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};

// Of the fiber that runs.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

// ---- the device's side ----

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);
int atomicAdd(int* address, int value);

namespace ponder::cuda_emulation {

// Gives `value` (at most 32 bytes) to the warp; returns the values of all 32 lanes, `stride` bytes
// apart, valid until the lane's next exchange. Every lane of the warp must come.
const char* Exchange(const void* value, size_t bytes, size_t* stride);

template <typename T>
T FromLane(const T& value, unsigned lane) {
  size_t stride = 0;
  const char* values = Exchange(&value, sizeof(T), &stride);
  T found;
  std::memcpy(&found, values + lane % 32 * stride, sizeof(T));
  return found;
}

// Dynamic shared memory of the block that runs, and what it shares by name: an address of the
// program's that stands for the array.
char* SharedMemory();
void* SharedArray(const void* key, size_t bytes);

// Copies that take place when their thread waits for them (cp.async).
void CopyLater(void* to, const void* from, size_t bytes, size_t valid_bytes);
void CommitCopies();
void WaitForCopies(int groups_left);

// Whether the threads of a block go on by ascending or by descending number.
enum class ThreadOrder { kAscending, kDescending };
void SetThreadOrder(ThreadOrder order);
// What the thread's device says it has; memory beyond is refused.
void SetMultiprocessors(int count);
void SetDeviceMemory(size_t bytes);
// The most that was allocated at one time since the call before, or since the program's start.
size_t TakeMemoryPeak();
// Kernels that were launched since the program's start.
int64_t LaunchCount();

}  // namespace ponder::cuda_emulation

inline unsigned LaneOf() { return threadIdx.x % 32; }
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return ponder::cuda_emulation::FromLane(value, LaneOf() ^ static_cast<unsigned>(mask));
}
template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
  return ponder::cuda_emulation::FromLane(value, static_cast<unsigned>(lane));
}
// One bit a lane.
inline unsigned __ballot_sync(unsigned, int predicate) {
  const unsigned mine = predicate != 0;
  size_t stride = 0;
  const char* values = ponder::cuda_emulation::Exchange(&mine, sizeof(mine), &stride);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned value;
    std::memcpy(&value, values + lane * stride, sizeof(value));
    bits |= value << lane;
  }
  return bits;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
template <typename T>
T __ldg(const T* p) {
  return *p;
}
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }

// ---- the host's side ----

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorLaunchFailure = 719,
};
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();

struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);

cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);

struct EmulatedStream;
using cudaStream_t = EmulatedStream*;
inline constexpr unsigned cudaStreamNonBlocking = 1;
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);

struct EmulatedEvent;
using cudaEvent_t = EmulatedEvent*;
inline constexpr unsigned cudaEventDisableTiming = 2;
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
// Does what the stream was given before the record and nothing behind it.
cudaError_t cudaEventSynchronize(cudaEvent_t event);
// The stream goes no further before the last record came to pass.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);

enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3
};
// From the host: read at once, as the driver does with pageable memory; from cudaMallocHost's
// memory only when its turn comes.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
  return cudaSuccess;
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace ponder::cuda_emulation {
cudaError_t Enqueue(const cudaLaunchConfig_t& config, std::function<void()> thread);
// What is no kernel of ours.
cudaError_t EnqueueWork(cudaStream_t stream, std::function<void()> work);
// Something that several devices' streams do together: `attempt` is called, with the memory of all
// devices open, until it returns true; the stream goes no further before.
cudaError_t EnqueueMeeting(cudaStream_t stream, std::function<bool()> attempt);
// Changes what attempts look at; those that wait are called again.
void ChangeMeetings(const std::function<void()>& change);
}  // namespace ponder::cuda_emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return ponder::cuda_emulation::Enqueue(
      *config, [kernel, ... copies = static_cast<Parameters>(arguments)] { kernel(copies...); });
}

// Graphs: what a stream was given between begin and end, to be done again at will.
struct EmulatedGraph;
using cudaGraph_t = EmulatedGraph*;
using cudaGraphExec_t = EmulatedGraph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
