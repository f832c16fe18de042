#include "kernels/cpu/probe.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/workspace.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int kRounds = 5;
constexpr int64_t kSteps = 400'000;  // of a probe in registers: some milliseconds
// Eight streams side by side, as a product with few rows reads its panels: one stream alone leaves
// the hardware's prefetchers half idle. Their distance is no power of two, or all would fall into
// one set of the cache.
constexpr int kStreams = 8;
constexpr int64_t kStreamBytes = 18 << 10;
constexpr int64_t kRunBytes = kStreams * kStreamBytes;
constexpr int64_t kRuns = (int64_t{256} << 20) / kRunBytes;

// Twelve chains hide the latency of a multiply-add (4 to 5 cycles, two a cycle at most).
[[gnu::target("avx512f")]] float FmaAvx512() {
  __m512 acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.999f);
  for (int64_t n = 0; n < kSteps; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = _mm512_fmadd_ps(acc[i], x, x);
  }
  float sum = 0;
  for (const __m512& a : acc) sum += _mm512_cvtss_f32(a);
  return sum;
}

[[gnu::target("avx512f,avx512bf16")]] float DotAvx512() {
  __m512 acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512i x = _mm512_set1_epi32(0x3f803f80);
  for (int64_t n = 0; n < kSteps; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = _mm512_dpbf16_ps(acc[i], (__m512bh)x, (__m512bh)x);
  }
  float sum = 0;
  for (const __m512& a : acc) sum += _mm512_cvtss_f32(a);
  return sum;
}

// Four tiles of sums, two of inputs and two of weights.
constexpr double kTileFlops = 4 * 2 * 16 * 16 * 32;
float DotTiles() {
  TileConfig config;
  std::fill_n(config.row_bytes, kTiles, static_cast<uint16_t>(kTileRowBytes));
  std::fill_n(config.rows, kTiles, static_cast<uint8_t>(kTileRows));
  HardwareTiles::Configure(config);  // all are zero
  for (int64_t n = 0; n < kSteps; ++n) {
    HardwareTiles::Dot<0, 4, 6>();
    HardwareTiles::Dot<1, 4, 7>();
    HardwareTiles::Dot<2, 5, 6>();
    HardwareTiles::Dot<3, 5, 7>();
  }
  HardwareTiles::Release();
  return 0;
}

[[gnu::target("avx2,fma")]] float FmaAvx2() {
  __m256 acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.999f);
  for (int64_t n = 0; n < kSteps; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = _mm256_fmadd_ps(acc[i], x, x);
  }
  float sum = 0;
  for (const __m256& a : acc) sum += _mm256_cvtss_f32(a);
  return sum;
}

float FmaPortable() {
  __m128 acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = _mm_set1_ps(static_cast<float>(i));
  const __m128 x = _mm_set1_ps(0.999f);
  for (int64_t n = 0; n < kSteps; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = _mm_add_ps(_mm_mul_ps(acc[i], x), x);
  }
  float sum = 0;
  for (const __m128& a : acc) sum += _mm_cvtss_f32(a);
  return sum;
}

double BestSeconds(const std::function<void()>& body) {
  double best = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

// Keeps what a probe computes alive.
volatile float sink = 0;

double Flops(ThreadPool& pool, float (*probe)(), double flops_per_step) {
  const int64_t threads = pool.Threads();
  const double seconds =
      BestSeconds([&] { pool.ParallelFor(threads, [&](int64_t) { sink = probe(); }); });
  return static_cast<double>(threads * kSteps) * flops_per_step / seconds;
}

float ReadPlain(const char* p) {
  __m128i acc[kStreams] = {};
  for (int64_t i = 0; i < kStreamBytes; i += 16) {
    for (int s = 0; s < kStreams; ++s) {
      acc[s] = _mm_xor_si128(
          acc[s], _mm_load_si128(reinterpret_cast<const __m128i*>(p + s * kStreamBytes + i)));
    }
  }
  int sum = 0;
  for (const __m128i& a : acc) sum ^= _mm_cvtsi128_si32(a);
  return static_cast<float>(sum);
}

[[gnu::target("avx512f")]] float ReadAvx512(const char* p) {
  __m512i acc[kStreams];
  for (__m512i& a : acc) a = _mm512_setzero_si512();
  for (int64_t i = 0; i < kStreamBytes; i += 64) {
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s) {
      acc[s] = _mm512_xor_si512(acc[s], _mm512_load_si512(p + s * kStreamBytes + i));
    }
  }
  int sum = 0;
  for (const __m512i& a : acc) sum ^= _mm512_cvtsi512_si32(a);
  return static_cast<float>(sum);
}

double ReadRate(ThreadPool& pool) {
  char* const memory = static_cast<char*>(AllocateAligned(kRuns * kRunBytes));
  PONDER_CHECK(memory != nullptr);
  std::memset(memory, 1, kRuns * kRunBytes);
  const auto read = __builtin_cpu_supports("avx512f") ? ReadAvx512 : ReadPlain;
  const double seconds = BestSeconds([&] {
    pool.ParallelFor(kRuns, [&](int64_t run) { sink = read(memory + run * kRunBytes); });
  });
  FreeAligned(memory);
  return static_cast<double>(kRuns * kRunBytes) / seconds;
}

}  // namespace

MachineLimits ProbeMachine(ThreadPool& pool, std::string_view isa) {
  MachineLimits limits;
  if (isa.starts_with("avx512") || isa == "amx") {
    limits.f32_flops = Flops(pool, FmaAvx512, 12 * 32);
    limits.bf16_flops = isa == "amx"           ? Flops(pool, DotTiles, kTileFlops)
                        : isa == "avx512_bf16" ? Flops(pool, DotAvx512, 12 * 64)
                                               : limits.f32_flops;
  } else if (isa == "avx2") {
    limits.f32_flops = limits.bf16_flops = Flops(pool, FmaAvx2, 12 * 16);
  } else {
    limits.f32_flops = limits.bf16_flops = Flops(pool, FmaPortable, 12 * 8);
  }
  limits.read_bytes = ReadRate(pool);
  return limits;
}

}  // namespace ponder::kernels::cpu
