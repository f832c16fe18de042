#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <utility>

#include "base/check.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/create_backend.h"
#include "kernels/cuda/nccl_library.h"

namespace ponder::kernels {
namespace {

using cuda::NcclComm;
using cuda::NcclLibrary;

// The communicators of all ranks, which end together.
class NcclGroup {
 public:
  NcclGroup(const NcclLibrary& nccl, std::vector<NcclComm> comms)
      : nccl_(nccl), comms_(std::move(comms)) {}
  ~NcclGroup() {
    for (const NcclComm comm : comms_) nccl_.comm_destroy(comm);
  }

  // The rank's communicator, or why there is none any more.
  absl::StatusOr<NcclComm> Comm(size_t rank) {
    absl::MutexLock lock(&mutex_);
    PONDER_RETURN_IF_ERROR(status_);
    return comms_[rank];
  }

  void Abort(const absl::Status& why) {
    std::vector<NcclComm> comms;
    {
      absl::MutexLock lock(&mutex_);
      if (!status_.ok()) return;
      status_ = why;
      comms = std::exchange(comms_, {});
    }
    for (const NcclComm comm : comms) nccl_.comm_abort(comm);
  }

  const NcclLibrary& Nccl() const { return nccl_; }

 private:
  const NcclLibrary& nccl_;
  absl::Mutex mutex_;
  std::vector<NcclComm> comms_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

class NcclCollective final : public Collective {
 public:
  NcclCollective(size_t rank, cuda::CudaPlace place, std::shared_ptr<NcclGroup> group)
      : rank_(rank), place_(place), group_(std::move(group)) {}

  ~NcclCollective() override {
    if (beside_ == nullptr) return;
    cudaSetDevice(place_.device);
    for (const cudaEvent_t event : {before_, behind_}) cudaEventDestroy(event);
    cudaStreamDestroy(beside_);
  }

  std::string Describe() const override {
    int version = 0;  // 22803 is 2.28.3
    group_->Nccl().get_version(&version);
    return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  absl::Status AllReduceSum(float* values, int64_t count) override {
    PONDER_CHECK(count >= 0);
    if (count == 0) return absl::OkStatus();
    PONDER_ASSIGN_OR_RETURN(const NcclComm comm, group_->Comm(rank_));
    cuda::CheckCuda(cudaSetDevice(place_.device), "cudaSetDevice");
    const int result =
        group_->Nccl().all_reduce(values, values, static_cast<size_t>(count), cuda::kNcclFloat32,
                                  cuda::kNcclSum, comm, place_.stream);
    if (result == 0) return absl::OkStatus();
    return Unavailable("GPU {} cannot add gradients up with the others: ncclAllReduce: {}",
                       place_.device, group_->Nccl().get_error_string(result));
  }

  // On a stream of their own, behind what the backend was given before.
  absl::Status Broadcast(void* data, int64_t bytes, int64_t root) override {
    PONDER_CHECK(bytes >= 0 && root >= 0);
    if (bytes == 0) return absl::OkStatus();
    PONDER_ASSIGN_OR_RETURN(const NcclComm comm, group_->Comm(rank_));
    cuda::CheckCuda(cudaSetDevice(place_.device), "cudaSetDevice");
    if (beside_ == nullptr) OpenStream();
    cuda::CheckCuda(cudaEventRecord(before_, place_.stream), "cudaEventRecord");
    cuda::CheckCuda(cudaStreamWaitEvent(beside_, before_, 0), "cudaStreamWaitEvent");
    const int result =
        group_->Nccl().broadcast(data, data, static_cast<size_t>(bytes), cuda::kNcclUint8,
                                 static_cast<int>(root), comm, beside_);
    if (result != 0) {
      return Unavailable("GPU {} cannot share weights with the others: ncclBroadcast: {}",
                         place_.device, group_->Nccl().get_error_string(result));
    }
    cuda::CheckCuda(cudaEventRecord(behind_, beside_), "cudaEventRecord");
    return static_cast<size_t>(root) == rank_ ? absl::OkStatus() : Settle();
  }

  absl::Status Settle() override {
    if (beside_ == nullptr) return absl::OkStatus();
    cuda::CheckCuda(cudaSetDevice(place_.device), "cudaSetDevice");
    cuda::CheckCuda(cudaStreamWaitEvent(place_.stream, behind_, 0), "cudaStreamWaitEvent");
    return absl::OkStatus();
  }

  void Abort(const absl::Status& why) override { group_->Abort(why); }

 private:
  void OpenStream() {
    cuda::CheckCuda(cudaStreamCreateWithFlags(&beside_, cudaStreamNonBlocking),
                    "cudaStreamCreateWithFlags");
    for (cudaEvent_t* event : {&before_, &behind_}) {
      cuda::CheckCuda(cudaEventCreateWithFlags(event, cudaEventDisableTiming),
                      "cudaEventCreateWithFlags");
    }
  }

  size_t rank_;
  cuda::CudaPlace place_;
  std::shared_ptr<NcclGroup> group_;
  cudaStream_t beside_ = nullptr;  // of broadcasts, and with the events null before the first one
  cudaEvent_t before_ = nullptr, behind_ = nullptr;
};

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateNcclCollectives(
    std::span<Backend* const> backends) {
  PONDER_ASSIGN_OR_RETURN(const NcclLibrary* const nccl, cuda::LoadNccl());
  std::vector<int> devices;
  for (const Backend* backend : backends) devices.push_back(cuda::PlaceOf(*backend).device);
  std::vector<NcclComm> comms(devices.size(), nullptr);
  const int result =
      nccl->comm_init_all(comms.data(), static_cast<int>(devices.size()), devices.data());
  if (result != 0) {
    return FailedPrecondition(
        "NCCL cannot join {} GPUs: ncclCommInitAll: {}; NCCL_DEBUG=INFO says more", devices.size(),
        nccl->get_error_string(result));
  }
  const auto group = std::make_shared<NcclGroup>(*nccl, std::move(comms));
  std::vector<std::unique_ptr<Collective>> collectives;
  for (size_t rank = 0; rank < backends.size(); ++rank) {
    collectives.push_back(
        std::make_unique<NcclCollective>(rank, cuda::PlaceOf(*backends[rank]), group));
  }
  return collectives;
}

}  // namespace ponder::kernels
