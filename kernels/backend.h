#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "kernels/machine_limits.h"
#include "kernels/operations.h"

// The small set of fused operations over which the decoder is written once. The CPU and the CUDA
// backend implement it; nothing above kernels/ knows which one runs. Their shapes, their meaning
// and what "exact" promises stand in kernels/operations.h.
//
// A broken shape throws CheckFailure. Calls are enqueued in order; Synchronize waits (the CPU works
// at once). One caller at a time.
namespace ponder::kernels {

struct BackendInfo {
  std::string name;         // "cpu", "cuda"
  std::string isa;          // "portable", "avx2", "avx512", "avx512_bf16", "amx", "sm_90"
  std::string fingerprint;  // equal fingerprints give equal bits: build, isa, kernel revision
  int64_t threads = 0;      // of a processor, or a GPU's multiprocessors
  MatrixOrder order = MatrixOrder::kPanels;
  bool is_host_memory = true;  // whether the host may follow the backend's pointers
  bool can_record = false;     // whether Record is worth the batches' padding
};

// Operations with the pointers and sizes that they had, to be enqueued again at once. Its backend
// outlives it.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void Replay() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const BackendInfo& Info() const = 0;

  // Memory of the device, 64-byte aligned, zeroed. RESOURCE_EXHAUSTED where it does not fit.
  virtual absl::StatusOr<void*> Allocate(int64_t bytes) = 0;
  virtual void Free(void* memory) = 0;
  virtual void CopyIn(void* device, const void* host, int64_t bytes) = 0;
  virtual void CopyOut(void* host, const void* device, int64_t bytes) = 0;
  virtual void Zero(void* device, int64_t bytes) = 0;
  // Between two places of the device that do not overlap. The default serves backends whose memory
  // is the host's.
  virtual void Copy(void* to, const void* from, int64_t bytes) { CopyIn(to, from, bytes); }
  virtual void Synchronize() = 0;

  // Memory of the host that a device reaches by itself: CopyIn from it returns at once, so it must
  // stay as it is until the copy was waited for. The defaults serve backends whose memory is the
  // host's.
  virtual absl::StatusOr<void*> AllocateHost(int64_t bytes) { return Allocate(bytes); }
  virtual void FreeHost(void* memory) { Free(memory); }
  // CopyOut to AllocateHost's memory, without waiting.
  virtual void CopyOutLater(void* host, const void* device, int64_t bytes) {
    CopyOut(host, device, bytes);
  }
  // Wait(Mark()) waits for what was enqueued before Mark and for nothing behind it; the wait for a
  // mark older than the last 64 may be one for a later one.
  virtual int64_t Mark() { return 0; }
  virtual void Wait(int64_t mark) {
    static_cast<void>(mark);
    Synchronize();
  }

  // Takes work space of operations now and in one piece, instead of piece by piece as they need it:
  // with GpuWorkspaceBytes (kernels/gpu_workspace.h) all of it.
  virtual void ReserveWorkspace(int64_t bytes) { static_cast<void>(bytes); }

  // Keeps what `work` enqueues instead of doing it. `work` calls operations alone, and was run
  // before with the same sizes, so that their work space is there. Null where it could not be
  // kept: then it was done.
  virtual std::unique_ptr<Recording> Record(const std::function<void()>& work) {
    work();
    return nullptr;
  }

  // Takes a quarter of a second.
  virtual MachineLimits Probe() = 0;

  virtual void Embed(const EmbedArgs& args) = 0;
  virtual void RmsNorm(const RmsNormArgs& args) = 0;
  virtual void Linear(const LinearArgs& args) = 0;
  virtual void QkvRope(const QkvRopeArgs& args) = 0;
  virtual void Attention(const AttentionArgs& args) = 0;
  virtual void GateUp(const GateUpArgs& args) = 0;
  virtual void LogProb(const LogProbArgs& args) = 0;
  virtual void Sample(const SampleArgs& args) = 0;
  virtual void Follow(const FollowArgs& args) = 0;

  virtual void EmbedBackward(const EmbedBackwardArgs& args) = 0;
  virtual void RmsNormBackward(const RmsNormBackwardArgs& args) = 0;
  virtual void LinearBackward(const LinearBackwardArgs& args) = 0;
  virtual void QkvRopeBackward(const QkvRopeBackwardArgs& args) = 0;
  virtual void AttentionBackward(const AttentionBackwardArgs& args) = 0;
  virtual void SwiGlu(const SwiGluArgs& args) = 0;
  virtual void SwiGluBackward(const SwiGluBackwardArgs& args) = 0;
  virtual void LogProbBackward(const LogProbBackwardArgs& args) = 0;

  virtual void AdamW(const AdamWArgs& args) = 0;
  // Row-major fp32 [outputs, inputs] into packed order (rounded for bf16), and back.
  virtual void Pack(const float* source, const PackedMatrix& target) = 0;
  virtual void Unpack(const PackedMatrix& source, float* target) = 0;
  // Sum of squares in double, in an order that depends on `count` alone; not finite where an
  // element is not.
  virtual double SquaredNorm(const float* values, int64_t count) = 0;
};

// A piece of somebody's memory of a backend.
struct DeviceSpan {
  void* data = nullptr;
  int64_t bytes = 0;
};

// Owns a block of a backend's memory, or stands for a piece of somebody else's.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  static absl::StatusOr<DeviceBuffer> Create(Backend& backend, int64_t bytes) {
    PONDER_ASSIGN_OR_RETURN(void* memory, backend.Allocate(bytes));
    return DeviceBuffer(&backend, memory, bytes);
  }
  // Where `place` is given, its first `bytes`, as they are; RESOURCE_EXHAUSTED where it is smaller.
  static absl::StatusOr<DeviceBuffer> CreateIn(Backend& backend, int64_t bytes, DeviceSpan place) {
    if (place.data == nullptr) return Create(backend, bytes);
    if (bytes > place.bytes)
      return ResourceExhausted("expected a place of {} bytes, found {}", bytes, place.bytes);
    return DeviceBuffer(nullptr, place.data, bytes);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer() {
    if (backend_ != nullptr) backend_->Free(memory_);
  }

  template <typename T>
  T* As() const {
    return static_cast<T*>(memory_);
  }
  int64_t Bytes() const { return bytes_; }

 private:
  DeviceBuffer(Backend* backend, void* memory, int64_t bytes)
      : backend_(backend), memory_(memory), bytes_(bytes) {}

  Backend* backend_ = nullptr;  // null: the memory is not its own
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

// kAmxEmulated runs the kernels of kAmx on any processor, for tests: slowly.
enum class CpuIsa { kBest, kPortable, kAvx2, kAvx512, kAvx512Bf16, kAmx, kAmxEmulated };

struct CpuBackendOptions {
  int64_t threads = 0;         // 0 = one a usable core
  CpuIsa isa = CpuIsa::kBest;  // anything else is for tests and measurements
};

// FAILED_PRECONDITION where the processor lacks the instruction set asked for.
absl::StatusOr<std::unique_ptr<Backend>> CreateCpuBackend(const CpuBackendOptions& options = {});

}  // namespace ponder::kernels
