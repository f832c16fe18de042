#include "tests/kernels/cpu_test_support.h"
#include "tests/reference/test_backend.h"

namespace ponder::kernels {

std::unique_ptr<Backend> MakeBackend(CpuIsa isa, int64_t threads) {
  return MakeTestBackend(threads, isa);
}
std::unique_ptr<Backend> MakeBackend(const KernelCase& tested, int64_t threads) {
  return MakeTestBackend(threads, tested.isa);
}

std::vector<CpuIsa> UsableIsas() {
  std::vector<CpuIsa> isas;
  for (const CpuIsa isa :
       {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16, CpuIsa::kAmx}) {
    if (CreateCpuBackend({.threads = 1, .isa = isa}).ok()) isas.push_back(isa);
  }
  return isas;
}

std::vector<KernelCase> AllCases() {
  std::vector<KernelCase> cases;
  for (const CpuIsa isa : UsableIsas()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) cases.push_back({isa, dtype});
  }
  return cases;
}

std::vector<KernelCase> AllCasesAndEmulatedTiles() {
  std::vector<KernelCase> cases = AllCases();
  cases.push_back({CpuIsa::kAmxEmulated, DType::kBF16});
  return cases;
}

std::string CaseName(const testing::TestParamInfo<KernelCase>& info) {
  return MakeBackend(info.param.isa, 1)->Info().isa + "_" + std::string(ToString(info.param.dtype));
}

// kernels/cpu/amx_attention_tiles_inl.h takes whole tiles only.
bool OnTiles(const KernelCase& tested, int64_t head_width) {
  return (tested.isa == CpuIsa::kAmx || tested.isa == CpuIsa::kAmxEmulated) &&
         tested.dtype == DType::kBF16 && head_width % 32 == 0;
}

}  // namespace ponder::kernels
