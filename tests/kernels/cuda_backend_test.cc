#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/check.h"
#include "kernels/cuda/create_backend.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/probe.h"
#include "kernels/host_buffer.h"
#include "tests/kernels/kernel_test_support.h"

// The emulated device shows what host code does with a GPU.
namespace ponder::kernels {
namespace {

class CudaBackendTest : public testing::Test {
 protected:
  ~CudaBackendTest() override { cuda_emulation::SetDeviceMemory(size_t{4} << 30); }

  std::unique_ptr<Backend> backend_ = MakeBackend(KernelCase{});
};

TEST_F(CudaBackendTest, SaysWhatItIs) {
  EXPECT_EQ(backend_->Info().name, "cuda");
  EXPECT_EQ(backend_->Info().isa, "sm_80");
  EXPECT_NE(backend_->Info().fingerprint.find("cuda-sm_80"), std::string::npos);
  EXPECT_FALSE(backend_->Info().is_host_memory);
}

TEST_F(CudaBackendTest, MemoryIsZeroedEachTime) {
  for (int repeat = 0; repeat < 2; ++repeat) {
    const Buffer buffer(*backend_, std::vector<float>(1000, 1.0f));
    const DeviceBuffer fresh = *DeviceBuffer::Create(*backend_, 4000);
    std::vector<float> values(1000, 2.0f);
    backend_->CopyOut(values.data(), fresh.As<void>(), 4000);
    EXPECT_EQ(values, std::vector<float>(1000, 0.0f));
  }
}

TEST_F(CudaBackendTest, MoreMemoryThanThereIsIsResourceExhausted) {
  cuda_emulation::SetDeviceMemory(size_t{1} << 20);
  const absl::Status status = backend_->Allocate(int64_t{1} << 21).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("expected 2 MiB of memory on GPU 0, found 1 of 1 MiB free"),
            std::string::npos)
      << status;
}

TEST_F(CudaBackendTest, RefusesADeviceThatIsNotThere) {
  EXPECT_EQ(CreateLocalCudaBackend({.device = 2}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Inputs may change as soon as a call has returned: copies to the device take what is there then.
TEST_F(CudaBackendTest, CopiesInWhatTheHostHasAtTheCall) {
  std::vector<float> values(100, 3.0f);
  const Buffer buffer(*backend_, values);
  std::fill(values.begin(), values.end(), 4.0f);
  EXPECT_EQ(buffer.Values(), std::vector<float>(100, 3.0f));
}

// But not copies from AllocateHost's memory, which the device reads when their turn comes.
TEST_F(CudaBackendTest, ReadsTheHostsMemoryOfADeviceLate) {
  const HostBuffer host = *HostBuffer::Create(*backend_, 400);
  const Buffer buffer(*backend_, 100);
  backend_->Synchronize();
  host.As<float>()[99] = 3;
  backend_->CopyIn(buffer.F(), host.As<void>(), 400);
  const int64_t mark = backend_->Mark();
  host.As<float>()[99] = 4;
  backend_->Wait(mark);
  host.As<float>()[99] = 5;
  EXPECT_EQ(buffer.Values()[99], 4);
}

TEST_F(CudaBackendTest, WaitsForWhatIsBeforeAMarkAndForNothingBehind) {
  const HostBuffer host = *HostBuffer::Create(*backend_, 8);
  const Buffer buffer(*backend_, std::vector<float>{1, 2});
  backend_->Synchronize();
  backend_->CopyOutLater(host.As<float>(), buffer.F(), 4);
  const int64_t first = backend_->Mark();
  backend_->CopyOutLater(host.As<float>() + 1, buffer.F() + 1, 4);
  const int64_t second = backend_->Mark();
  EXPECT_EQ(host.As<float>()[0], 0);
  backend_->Wait(first);
  EXPECT_EQ(host.As<float>()[0], 1);
  EXPECT_EQ(host.As<float>()[1], 0);
  backend_->Wait(second);
  EXPECT_EQ(host.As<float>()[1], 2);
  backend_->Wait(first);  // long past
  for (int i = 0; i < 100; ++i) backend_->Mark();
  backend_->Wait(first);  // no longer known
}

TEST_F(CudaBackendTest, ProbesGiveFigures) {
  cuda::Workspace workspace;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
  const MachineLimits limits =
      cuda::Probe({stream, workspace, 1}, {.read_bytes = 1 << 16, .iterations = 2});
  EXPECT_GT(limits.read_bytes, 0);
  EXPECT_GT(limits.f32_flops, 0);
  EXPECT_GT(limits.bf16_flops, 0);
  cudaStreamDestroy(stream);
}

// ---- the emulation itself: what it must not let pass ----

__global__ void ReadOutside(const float* from, float* to) { *to = from[1 << 20]; }
__global__ void DivergentBarrier() {
  if (threadIdx.x < 64)
    __syncthreads();
  else
    __syncwarp();
  if (threadIdx.x == 64) __syncthreads();
  if (threadIdx.x > 64) __syncwarp();
}
// Each thread reads its right neighbour's value, without a barrier in between.
__global__ void MissingBarrier(float* out) {
  PONDER_SHARED(float, values, 64);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = values[(threadIdx.x + 1) % 64];
}

template <typename... Parameters, typename... Arguments>
void RunKernel(int threads, void (*kernel)(Parameters...), Arguments... arguments) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
  cuda::Launch({.blocks = 1, .threads = threads}, stream, kernel, arguments...);
  cudaStreamSynchronize(stream);
  cudaStreamDestroy(stream);
}

TEST_F(CudaBackendTest, TheEmulationRefusesABarrierThatSomeThreadsNeverReach) {
  EXPECT_THROW(RunKernel(96, DivergentBarrier), std::logic_error);
}

TEST_F(CudaBackendTest, TheEmulationShowsAMissingBarrierInOneOfItsOrders) {
  std::vector<std::vector<float>> results;
  for (const auto order :
       {cuda_emulation::ThreadOrder::kAscending, cuda_emulation::ThreadOrder::kDescending}) {
    cuda_emulation::SetThreadOrder(order);
    const Buffer out(*backend_, 64);
    backend_->Synchronize();  // the kernel runs on another stream
    RunKernel(64, MissingBarrier, out.F());
    results.push_back(out.Values());
  }
  // Ascending, a thread's right neighbour has not written yet; descending, it has.
  EXPECT_TRUE(std::isnan(results[0][5]));
  EXPECT_EQ(results[1][5], 6.0f);
}

using CudaBackendDeathTest = CudaBackendTest;

TEST_F(CudaBackendDeathTest, TheHostCannotTouchTheDevicesMemory) {
  const Buffer buffer(*backend_, 10);
  EXPECT_DEATH(*const_cast<volatile float*>(buffer.F()) = 1, "");
}

TEST_F(CudaBackendDeathTest, AKernelCannotReadBeyondAnAllocation) {
  const Buffer buffer(*backend_, 10);
  EXPECT_DEATH(RunKernel(32, ReadOutside, static_cast<const float*>(buffer.F()), buffer.F()), "");
}

}  // namespace
}  // namespace ponder::kernels
