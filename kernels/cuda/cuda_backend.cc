#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "kernels/cuda/blas_functions.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/create_backend.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/probe.h"

namespace ponder::kernels {
namespace {

// Raised by whoever changes a last digit of a forward operation.
constexpr int kKernelRevision = 2;

class GraphRecording final : public Recording {
 public:
  GraphRecording(cudaGraphExec_t graph, cuda::CudaPlace place) : graph_(graph), place_(place) {}
  ~GraphRecording() override { cudaGraphExecDestroy(graph_); }
  void Replay() override {
    cuda::CheckCuda(cudaSetDevice(place_.device), "cudaSetDevice");
    cuda::CheckCuda(cudaGraphLaunch(graph_, place_.stream), "cudaGraphLaunch");
  }

 private:
  cudaGraphExec_t graph_;
  cuda::CudaPlace place_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(const CudaBackendOptions& options, const cudaDeviceProp& properties)
      : device_(options.device),
        warn_(options.warn),
        context_{nullptr, workspace_, properties.multiProcessorCount, options.numerics} {
    info_.name = "cuda";
    info_.isa = fmt::format("sm_{}{}", properties.major, properties.minor);
    info_.fingerprint = fmt::format("cuda-{}-r{}{}", info_.isa, kKernelRevision,
                                    options.numerics == Numerics::kFast ? "-fast" : "");
    info_.order = MatrixOrder::kRows;
    info_.is_host_memory = false;
    info_.can_record = true;
    info_.threads = properties.multiProcessorCount;
  }
  ~CudaBackend() override {
    cudaSetDevice(device_);
    for (cudaEvent_t mark : marks_) cudaEventDestroy(mark);
    if (context_.stream != nullptr) cudaStreamDestroy(context_.stream);
  }

  absl::Status Init() {
    cudaError_t error = cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking);
    for (cudaEvent_t& mark : marks_) {
      if (error == cudaSuccess) error = cudaEventCreateWithFlags(&mark, cudaEventDisableTiming);
    }
    if (error != cudaSuccess) {
      return FailedPrecondition("GPU {} cannot be used: {}", device_, cudaGetErrorString(error));
    }
    if (context_.numerics == Numerics::kExact) return absl::OkStatus();
    if (const absl::Status loaded = LoadBlas(); !loaded.ok()) {
      return FailedPrecondition("the numerics fast need cuBLASLt: {}; or choose exact",
                                loaded.message());
    }
    return absl::OkStatus();
  }

  const BackendInfo& Info() const override { return info_; }
  cuda::CudaPlace Place() const { return {device_, context_.stream}; }

  absl::StatusOr<void*> Allocate(int64_t bytes) override {
    PONDER_CHECK(bytes >= 0, fmt::format("bytes = {}", bytes));
    Here();
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes > 0 ? bytes : 1));
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // it is answered for here
      size_t free = 0, total = 0;
      cudaMemGetInfo(&free, &total);
      return ResourceExhausted(
          "expected {} MiB of memory on GPU {}, found {} of {} MiB free; lower the batch, the "
          "context or the cache, or stop what else uses the GPU",
          bytes >> 20, device_, free >> 20, total >> 20);
    }
    cuda::CheckCuda(error, "cudaMalloc");
    Zero(memory, bytes);
    return memory;
  }
  void Free(void* memory) override {
    Here();
    cuda::CheckCuda(cudaFree(memory), "cudaFree");
  }
  void CopyIn(void* device, const void* host, int64_t bytes) override {
    Move(device, host, bytes, cudaMemcpyHostToDevice);
  }
  void CopyOut(void* host, const void* device, int64_t bytes) override {
    Move(host, device, bytes, cudaMemcpyDeviceToHost);
    Synchronize();
  }
  void Copy(void* to, const void* from, int64_t bytes) override {
    Move(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  void Zero(void* device, int64_t bytes) override {
    PONDER_CHECK(bytes >= 0 && (bytes == 0 || device != nullptr));
    if (bytes == 0) return;
    cuda::CheckCuda(cudaMemsetAsync(device, 0, static_cast<size_t>(bytes), Here().stream),
                    "cudaMemsetAsync");
  }
  void Synchronize() override {
    cuda::CheckCuda(cudaStreamSynchronize(Here().stream), "cudaStreamSynchronize");
  }

  absl::StatusOr<void*> AllocateHost(int64_t bytes) override {
    PONDER_CHECK(bytes >= 0, fmt::format("bytes = {}", bytes));
    Here();
    void* memory = nullptr;
    if (cudaMallocHost(&memory, static_cast<size_t>(bytes > 0 ? bytes : 1)) != cudaSuccess) {
      cudaGetLastError();  // it is answered for here
      return ResourceExhausted("expected {} MiB of the host's memory for GPU {}, found less",
                               bytes >> 20, device_);
    }
    std::memset(memory, 0, static_cast<size_t>(bytes));
    return memory;
  }
  void FreeHost(void* memory) override {
    Here();
    cuda::CheckCuda(cudaFreeHost(memory), "cudaFreeHost");
  }
  void CopyOutLater(void* host, const void* device, int64_t bytes) override {
    Move(host, device, bytes, cudaMemcpyDeviceToHost);
  }
  int64_t Mark() override {
    const int64_t mark = ++marked_;
    cuda::CheckCuda(cudaEventRecord(EventOf(mark), Here().stream), "cudaEventRecord");
    return mark;
  }
  void Wait(int64_t mark) override {
    PONDER_CHECK(mark <= marked_, fmt::format("mark {} of {}", mark, marked_));
    const int64_t known = std::max(mark, marked_ - std::ssize(marks_) + 1);
    cuda::CheckCuda(cudaEventSynchronize(EventOf(known)), "cudaEventSynchronize");
  }

  void ReserveWorkspace(int64_t bytes) override {
    Here();
    workspace_.Reserve(bytes);
  }

  MachineLimits Probe() override { return cuda::Probe(Here()); }
  std::unique_ptr<Recording> Record(const std::function<void()>& work) override {
    cuda::CheckCuda(cudaStreamBeginCapture(Here().stream, cudaStreamCaptureModeThreadLocal),
                    "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(context_.stream, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    cuda::CheckCuda(cudaStreamEndCapture(context_.stream, &graph), "cudaStreamEndCapture");
    cudaGraphExec_t ready = nullptr;
    const cudaError_t error = cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    cuda::CheckCuda(error, "cudaGraphInstantiate");
    return std::make_unique<GraphRecording>(ready, Place());
  }

  void Embed(const EmbedArgs& args) override { cuda::Embed(Here(), args); }
  void RmsNorm(const RmsNormArgs& args) override { cuda::RmsNorm(Here(), args); }
  void Linear(const LinearArgs& args) override { cuda::Linear(Here(), args); }
  void QkvRope(const QkvRopeArgs& args) override { cuda::QkvRope(Here(), args); }
  void Attention(const AttentionArgs& args) override { cuda::Attention(Here(), args); }
  void GateUp(const GateUpArgs& args) override { cuda::GateUp(Here(), args); }
  void LogProb(const LogProbArgs& args) override { cuda::LogProb(Here(), args); }
  void Sample(const SampleArgs& args) override { cuda::Sample(Here(), args); }
  void Follow(const FollowArgs& args) override { cuda::Follow(Here(), args); }

  void EmbedBackward(const EmbedBackwardArgs& args) override { cuda::EmbedBackward(Here(), args); }
  void RmsNormBackward(const RmsNormBackwardArgs& args) override {
    cuda::RmsNormBackward(Here(), args);
  }
  void LinearBackward(const LinearBackwardArgs& args) override {
    FindBlas();
    cuda::LinearBackward(Here(), args);
  }
  void QkvRopeBackward(const QkvRopeBackwardArgs& args) override {
    cuda::QkvRopeBackward(Here(), args);
  }
  void AttentionBackward(const AttentionBackwardArgs& args) override {
    cuda::AttentionBackward(Here(), args);
  }
  void SwiGlu(const SwiGluArgs& args) override { cuda::SwiGlu(Here(), args); }
  void SwiGluBackward(const SwiGluBackwardArgs& args) override {
    cuda::SwiGluBackward(Here(), args);
  }
  void LogProbBackward(const LogProbBackwardArgs& args) override {
    FindBlas();
    cuda::LogProbBackward(Here(), args);
  }

  void AdamW(const AdamWArgs& args) override { cuda::AdamW(Here(), args); }
  void Pack(const float* source, const PackedMatrix& target) override {
    cuda::Pack(Here(), source, target);
  }
  void Unpack(const PackedMatrix& source, float* target) override {
    cuda::Unpack(Here(), source, target);
  }
  double SquaredNorm(const float* values, int64_t count) override {
    return cuda::SquaredNorm(Here(), values, count);
  }

 private:
  // Before every call of the runtime: its device is the thread's, and several threads may have
  // called several backends.
  cuda::CudaContext& Here() {
    cuda::CheckCuda(cudaSetDevice(device_), "cudaSetDevice");
    return context_;
  }
  absl::Status LoadBlas() {
    Here();
    PONDER_ASSIGN_OR_RETURN(const cuda::BlasFunctions functions, cuda::FindBlasFunctions());
    PONDER_ASSIGN_OR_RETURN(blas_, cuda::CreateBlasLibrary(functions));
    context_.blas = blas_.get();
    return absl::OkStatus();
  }
  // For the backward, on first use: who only generates does without.
  void FindBlas() {
    if (std::exchange(looked_for_blas_, true) || blas_ != nullptr) return;
    const absl::Status loaded = LoadBlas();
    if (loaded.ok() || warn_ == nullptr) return;
    warn_(fmt::format("the learner's products run on kernels of our own, which are slower: {}",
                      loaded.message()));
  }
  cudaEvent_t EventOf(int64_t mark) const {
    return marks_[static_cast<size_t>(mark) % marks_.size()];
  }
  void Move(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
    PONDER_CHECK(bytes >= 0 && (bytes == 0 || (to != nullptr && from != nullptr)));
    if (bytes == 0) return;
    cuda::CheckCuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, Here().stream),
                    "cudaMemcpyAsync");
  }

  const int device_;
  const std::function<void(const std::string&)> warn_;
  cuda::Workspace workspace_;
  std::unique_ptr<cuda::BlasLibrary> blas_;
  bool looked_for_blas_ = false;
  cuda::CudaContext context_;
  std::array<cudaEvent_t, 64> marks_ = {};
  int64_t marked_ = 0;  // the last mark
  BackendInfo info_;
};

}  // namespace

cuda::CudaPlace cuda::PlaceOf(const Backend& backend) {
  PONDER_CHECK(backend.Info().name == "cuda", backend.Info().name);
  return static_cast<const CudaBackend&>(backend).Place();
}

absl::StatusOr<std::unique_ptr<Backend>> CreateLocalCudaBackend(const CudaBackendOptions& options) {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    return FailedPrecondition("expected a GPU, found none: {}", error == cudaSuccess
                                                                    ? "the driver knows no device"
                                                                    : cudaGetErrorString(error));
  }
  if (options.device < 0 || options.device >= count) {
    return InvalidArgument("expected the number of a GPU below {}, found {}", count,
                           options.device);
  }
  cudaDeviceProp properties{};
  error = cudaSetDevice(options.device);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, options.device);
  if (error != cudaSuccess) {
    return FailedPrecondition("GPU {} cannot be used: {}", options.device,
                              cudaGetErrorString(error));
  }
  constexpr int kOldest = 8;
  if (properties.major < kOldest) {
    return FailedPrecondition(
        "GPU {} ({}) has compute capability {}.{}, expected {}.0 or newer for bf16", options.device,
        properties.name, properties.major, properties.minor, kOldest);
  }
  auto backend = std::make_unique<CudaBackend>(options, properties);
  PONDER_RETURN_IF_ERROR(backend->Init());
  return backend;
}

}  // namespace ponder::kernels
