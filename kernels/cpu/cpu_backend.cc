#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <string>

#include "base/check.h"
#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/cpu_isa.h"
#include "kernels/cpu/gate_up.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/logits.h"
#include "kernels/cpu/optimizer.h"
#include "kernels/cpu/probe.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/workspace.h"

namespace ponder::kernels {
namespace {

// Raised by whoever changes a last digit of a forward operation.
constexpr int kKernelRevision = 3;

// What the system could still give, from /proc/meminfo; nothing where it does not say.
int64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  int64_t kib = 0;
  std::string unit;
  while (file >> name >> kib) {
    std::getline(file, unit);
    if (name == "MemAvailable:") return kib << 10;
  }
  return INT64_MAX;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int64_t threads, CpuIsa isa)
      : pool_(threads), context_{pool_, cpu::PrimitivesFor(isa), workspace_} {
    info_.name = "cpu";
    info_.isa = std::string(cpu::IsaName(isa));
    info_.fingerprint = fmt::format("cpu-{}-r{}", info_.isa, kKernelRevision);
    info_.threads = pool_.Threads();
  }

  const BackendInfo& Info() const override { return info_; }

  absl::StatusOr<void*> Allocate(int64_t bytes) override {
    PONDER_CHECK(bytes >= 0, fmt::format("bytes = {}", bytes));
    constexpr int64_t kAskFrom = int64_t{64} << 20;  // smaller blocks are not worth a look
    const int64_t available = bytes >= kAskFrom ? AvailableBytes() : INT64_MAX;
    void* memory = bytes <= available ? cpu::AllocateAligned(bytes) : nullptr;
    if (memory == nullptr) {
      return ResourceExhausted(
          "expected {} MiB of memory, found {} MiB; lower the batch, the context or the cache",
          bytes >> 20, AvailableBytes() >> 20);
    }
    return memory;
  }
  void Free(void* memory) override { cpu::FreeAligned(memory); }
  void CopyIn(void* device, const void* host, int64_t bytes) override {
    MoveBytes(device, host, bytes);
  }
  void CopyOut(void* host, const void* device, int64_t bytes) override {
    MoveBytes(host, device, bytes);
  }
  void Zero(void* device, int64_t bytes) override {
    PONDER_CHECK(bytes >= 0 && (bytes == 0 || device != nullptr));
    constexpr int64_t kRun = int64_t{1} << 20;
    cpu::ParallelRuns(pool_, bytes, kRun, [&](int64_t begin, int64_t end) {
      std::memset(static_cast<char*>(device) + begin, 0, end - begin);
    });
  }
  void Synchronize() override {}
  MachineLimits Probe() override { return cpu::ProbeMachine(pool_, info_.isa); }

  void Embed(const EmbedArgs& args) override { cpu::Embed(context_, args); }
  void RmsNorm(const RmsNormArgs& args) override { cpu::RmsNorm(context_, args); }
  void Linear(const LinearArgs& args) override { cpu::Linear(context_, args); }
  void QkvRope(const QkvRopeArgs& args) override { cpu::QkvRope(context_, args); }
  void Attention(const AttentionArgs& args) override { cpu::Attention(context_, args); }
  void GateUp(const GateUpArgs& args) override { cpu::GateUp(context_, args); }
  void LogProb(const LogProbArgs& args) override { cpu::LogProb(context_, args); }
  void Sample(const SampleArgs& args) override { cpu::Sample(context_, args); }
  void Follow(const FollowArgs& args) override { cpu::Follow(args); }

  void EmbedBackward(const EmbedBackwardArgs& args) override { cpu::EmbedBackward(context_, args); }
  void RmsNormBackward(const RmsNormBackwardArgs& args) override {
    cpu::RmsNormBackward(context_, args);
  }
  void LinearBackward(const LinearBackwardArgs& args) override {
    cpu::LinearBackward(context_, args);
  }
  void QkvRopeBackward(const QkvRopeBackwardArgs& args) override {
    cpu::QkvRopeBackward(context_, args);
  }
  void AttentionBackward(const AttentionBackwardArgs& args) override {
    cpu::AttentionBackward(context_, args);
  }
  void SwiGlu(const SwiGluArgs& args) override { cpu::SwiGlu(context_, args); }
  void SwiGluBackward(const SwiGluBackwardArgs& args) override {
    cpu::SwiGluBackward(context_, args);
  }
  void LogProbBackward(const LogProbBackwardArgs& args) override {
    cpu::LogProbBackward(context_, args);
  }

  void AdamW(const AdamWArgs& args) override { cpu::AdamW(context_, args); }
  void Pack(const float* source, const PackedMatrix& target) override {
    cpu::Pack(context_, source, target);
  }
  void Unpack(const PackedMatrix& source, float* target) override {
    cpu::Unpack(context_, source, target);
  }
  double SquaredNorm(const float* values, int64_t count) override {
    return cpu::SquaredNorm(context_, values, count);
  }

 private:
  static void MoveBytes(void* to, const void* from, int64_t bytes) {
    PONDER_CHECK(bytes >= 0 && (bytes == 0 || (to != nullptr && from != nullptr)));
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  ThreadPool pool_;
  cpu::Workspace workspace_;
  cpu::CpuContext context_;
  BackendInfo info_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateCpuBackend(const CpuBackendOptions& options) {
  if (options.threads < 0)
    return InvalidArgument("expected 0 or more threads, found {}", options.threads);
  const CpuIsa isa = options.isa == CpuIsa::kBest ? cpu::BestIsa() : options.isa;
  if (!cpu::Supports(isa)) {
    return FailedPrecondition(
        "expected a processor with {}, found one whose best is {}; choose that or leave it open",
        cpu::IsaName(isa), cpu::IsaName(cpu::BestIsa()));
  }
  return std::make_unique<CpuBackend>(options.threads, isa);
}

}  // namespace ponder::kernels
