#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/check.h"
#include "base/rank_threads.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/create_backend.h"

// Two emulated devices, and a fake NCCL between them.
namespace ponder::kernels {
namespace {

class CudaDevices : public testing::Test {
 protected:
  CudaDevices() {
    for (int device = 0; device < 2; ++device)
      backends_.push_back(CreateLocalCudaBackend({.device = device}).value());
    pointers_ = {backends_[0].get(), backends_[1].get()};
  }

  DeviceBuffer Filled(size_t device, const std::vector<float>& values) const {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
    DeviceBuffer buffer = DeviceBuffer::Create(*pointers_[device], bytes).value();
    pointers_[device]->CopyIn(buffer.As<void>(), values.data(), bytes);
    return buffer;
  }
  std::vector<float> Values(size_t device, const DeviceBuffer& buffer) const {
    std::vector<float> values(static_cast<size_t>(buffer.Bytes()) / sizeof(float));
    pointers_[device]->CopyOut(values.data(), buffer.As<void>(), buffer.Bytes());
    return values;
  }

  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<Backend*> pointers_;
};

TEST_F(CudaDevices, OneThreadMayCallSeveralBackends) {
  // The newest one is the thread's device; memory, copies, kernels and recordings of the older one
  // are its own all the same.
  const DeviceBuffer first = Filled(0, {3, 4}), second = Filled(1, {5, 12});
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_EQ(backends_[0]->SquaredNorm(first.As<float>(), 2), 25);
    EXPECT_EQ(backends_[1]->SquaredNorm(second.As<float>(), 2), 169);
  }
  const auto recording =
      backends_[0]->Record([&] { backends_[0]->Zero(first.As<void>(), sizeof(float)); });
  backends_[1]->Zero(second.As<void>(), sizeof(float));
  recording->Replay();
  EXPECT_EQ(Values(1, second), (std::vector<float>{0, 12}));
  EXPECT_EQ(Values(0, first), (std::vector<float>{0, 4}));
}

TEST_F(CudaDevices, TheEmulationRefusesWorkOfTheWrongDevice) {
  const cuda::CudaPlace first = cuda::PlaceOf(*backends_[0]);
  const DeviceBuffer buffer = Filled(0, {1});
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(buffer.As<void>(), 0, 4, first.stream), cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(buffer.As<void>(), 0, 4, first.stream), cudaSuccess);
}

using CudaDevicesDeathTest = CudaDevices;

TEST_F(CudaDevicesDeathTest, ADeviceCannotTouchTheMemoryOfAnother) {
  const DeviceBuffer mine = Filled(0, {1}), other = Filled(1, {2});
  EXPECT_DEATH(
      {
        backends_[0]->Copy(mine.As<void>(), other.As<void>(), 4);
        backends_[0]->Synchronize();
      },
      "");
}

TEST_F(CudaDevices, NcclAddsUpInTheOrderOfTheStreams) {
  const auto joined = CreateNcclCollectives(pointers_);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ((*joined)[0]->Describe(), "NCCL 2.0.0");
  std::vector<DeviceBuffer> buffers;
  buffers.push_back(Filled(0, {1, 2, 3}));
  buffers.push_back(Filled(1, {10, 20, 30}));
  RankThreads threads(2);
  const absl::Status status = threads.Run([&](int64_t rank) -> absl::Status {
    const auto at = static_cast<size_t>(rank);
    float* const values = buffers[at].As<float>();
    // Behind what was enqueued before, and before what is enqueued behind.
    pointers_[at]->Zero(values, sizeof(float));
    PONDER_RETURN_IF_ERROR((*joined)[at]->AllReduceSum(values, 3));
    pointers_[at]->Zero(values + 2, sizeof(float));
    PONDER_RETURN_IF_ERROR((*joined)[at]->AllReduceSum(values, 2));
    pointers_[at]->Synchronize();
    return absl::OkStatus();
  });
  ASSERT_TRUE(status.ok()) << status;
  for (const size_t rank : {0, 1})
    EXPECT_EQ(Values(rank, buffers[rank]), (std::vector<float>{0, 44, 0}));
}

// What the root does next need not wait, but what writes the bytes must, behind Settle; the others
// read them only when they are there.
TEST_F(CudaDevices, NcclBroadcastsBesideTheRootsNextWork) {
  const auto joined = CreateNcclCollectives(pointers_);
  ASSERT_TRUE(joined.ok()) << joined.status();
  const DeviceBuffer given = Filled(0, {1, 2}), other = Filled(0, {7});
  const DeviceBuffer taken = Filled(1, {8, 9}), read = Filled(1, {0, 0}), early = Filled(1, {0, 0});
  ASSERT_TRUE((*joined)[0]->Settle().ok()) << "nothing was broadcast yet";
  ASSERT_TRUE((*joined)[0]->Broadcast(given.As<void>(), 8, 0).ok());
  pointers_[0]->Zero(other.As<void>(), 4);
  EXPECT_EQ(Values(0, other), (std::vector<float>{0})) << "and waited for nobody";
  ASSERT_TRUE((*joined)[0]->Settle().ok());
  pointers_[0]->Zero(given.As<void>(), 8);
  pointers_[1]->Copy(early.As<void>(), taken.As<void>(), 8);
  ASSERT_TRUE((*joined)[1]->Broadcast(taken.As<void>(), 8, 0).ok());
  pointers_[1]->Copy(read.As<void>(), taken.As<void>(), 8);
  EXPECT_EQ(Values(1, read), (std::vector<float>{1, 2}));
  EXPECT_EQ(Values(1, early), (std::vector<float>{8, 9}))
      << "what was enqueued before reads the old";
  EXPECT_EQ(Values(0, given), (std::vector<float>{0, 0}));
}

TEST_F(CudaDevices, AnAbortEndsTheWaitForWhoNeverComes) {
  const auto joined = CreateNcclCollectives(pointers_);
  ASSERT_TRUE(joined.ok()) << joined.status();
  const DeviceBuffer buffer = Filled(0, {1});
  ASSERT_TRUE((*joined)[0]->AllReduceSum(buffer.As<float>(), 1).ok());
  std::thread waiting([&] { pointers_[0]->Synchronize(); });
  (*joined)[1]->Abort(Unavailable("the other one has fallen off the bus"));
  waiting.join();
  EXPECT_EQ((*joined)[0]->AllReduceSum(buffer.As<float>(), 1).message(),
            "the other one has fallen off the bus");
}

TEST_F(CudaDevices, NcclRefusesTheSameDeviceTwice) {
  const std::vector<Backend*> twice = {pointers_[0], pointers_[0]};
  const auto joined = CreateNcclCollectives(twice);
  EXPECT_EQ(joined.status().code(), absl::StatusCode::kFailedPrecondition) << joined.status();
}

}  // namespace
}  // namespace ponder::kernels
