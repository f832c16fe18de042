#include "kernels/cpu/cpu_isa.h"

#include "base/check.h"

namespace ponder::kernels::cpu {

bool Supports(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kBest:
    case CpuIsa::kPortable:
      return true;
    case CpuIsa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CpuIsa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case CpuIsa::kAvx512Bf16:
      return Supports(CpuIsa::kAvx512) && __builtin_cpu_supports("avx512bf16");
  }
  return false;
}

CpuIsa BestIsa() {
  for (const CpuIsa isa : {CpuIsa::kAvx512Bf16, CpuIsa::kAvx512, CpuIsa::kAvx2}) {
    if (Supports(isa)) return isa;
  }
  return CpuIsa::kPortable;
}

std::string_view IsaName(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kBest:
      return "best";
    case CpuIsa::kPortable:
      return "portable";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

const Primitives& PrimitivesFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kBest:
      break;
    case CpuIsa::kPortable:
      return PortablePrimitives();
    case CpuIsa::kAvx2:
      return Avx2Primitives();
    case CpuIsa::kAvx512:
      return Avx512Primitives();
    case CpuIsa::kAvx512Bf16:
      return Avx512Bf16Primitives();
  }
  PONDER_CHECK(false, "kBest must be resolved first");
  return PortablePrimitives();
}

}  // namespace ponder::kernels::cpu
