#include "kernels/cpu/cpu_isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

namespace ponder::kernels::cpu {
namespace {

// Whether the processor has tiles with bf16 products and the system saves their registers.
bool HasTiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return false;
  constexpr unsigned kTileStates = 3u << 17;  // XTILECFG, XTILEDATA
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kTileStates) != kTileStates) return false;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  return (d & kBf16) != 0 && (d & kTile) != 0;
}

// Linux grants the eight kilobytes of tile data to a process that asks, for all its threads; once
// is enough, and before the first tile is touched.
bool MayUseTiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool may = HasTiles() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return may;
}

}  // namespace

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
    case CpuIsa::kAmx:
      return Supports(CpuIsa::kAvx512Bf16) && MayUseTiles();
    case CpuIsa::kAmxEmulated:
      return true;
  }
  return false;
}

CpuIsa BestIsa() {
  for (const CpuIsa isa : {CpuIsa::kAmx, CpuIsa::kAvx512Bf16, CpuIsa::kAvx512, CpuIsa::kAvx2}) {
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
    case CpuIsa::kAmx:
      return "amx";
    case CpuIsa::kAmxEmulated:
      return "amx_emulated";
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
    case CpuIsa::kAmx:
      return AmxPrimitives();
    case CpuIsa::kAmxEmulated:
      return AmxEmulatedPrimitives();
  }
  PONDER_CHECK(false, "kBest must be resolved first");
  return PortablePrimitives();
}

}  // namespace ponder::kernels::cpu
