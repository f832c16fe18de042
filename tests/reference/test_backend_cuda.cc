#include <gtest/gtest.h>

#include "kernels/cuda/create_backend.h"
#include "tests/reference/test_backend.h"

#ifdef PONDER_EMULATES_CUDA
#include <cuda_runtime.h>
#endif

namespace ponder {
namespace {

// Without a GPU nothing runs, and every test says so.
class NeedsGpu : public testing::Environment {
 public:
  void SetUp() override {
    const auto backend = kernels::CreateLocalCudaBackend({});
    if (!backend.ok()) GTEST_SKIP() << "did not run: " << backend.status().message();
  }
};
[[maybe_unused]] const testing::Environment* const kNeedsGpu =
    testing::AddGlobalTestEnvironment(new NeedsGpu);

}  // namespace

std::unique_ptr<kernels::Backend> MakeTestBackend(int64_t threads, kernels::CpuIsa) {
#ifdef PONDER_EMULATES_CUDA
  constexpr int kMultiprocessors[] = {1, 8, 48, 132};
  cuda_emulation::SetMultiprocessors(kMultiprocessors[threads % 4]);
  cuda_emulation::SetThreadOrder(threads % 2 == 0 ? cuda_emulation::ThreadOrder::kAscending
                                                  : cuda_emulation::ThreadOrder::kDescending);
#else
  static_cast<void>(threads);
#endif
  return kernels::CreateLocalCudaBackend({}).value();
}

}  // namespace ponder
