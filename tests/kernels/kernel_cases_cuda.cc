#include "tests/kernels/kernel_test_support.h"
#include "tests/reference/test_backend.h"

namespace ponder::kernels {

std::unique_ptr<Backend> MakeBackend(const KernelCase&, int64_t threads) {
  return MakeTestBackend(threads);
}

std::vector<KernelCase> AllCases() {
  return {{CpuIsa::kPortable, DType::kF32}, {CpuIsa::kPortable, DType::kBF16}};
}
std::vector<KernelCase> AllCasesAndEmulatedTiles() { return AllCases(); }

std::string CaseName(const testing::TestParamInfo<KernelCase>& info) {
  return "cuda_" + std::string(ToString(info.param.dtype));
}

bool OnTiles(const KernelCase& tested, int64_t) { return tested.dtype == DType::kBF16; }

}  // namespace ponder::kernels
