#include <cstring>
#include <set>

#include "kernels/cpu/cpu_isa.h"
#include "tests/kernels/cpu_test_support.h"

namespace ponder::kernels {
namespace {

TEST(CpuBackendTest, SaysWhatItIs) {
  const auto backend = MakeBackend(CpuIsa::kPortable, 3);
  EXPECT_EQ(backend->Info().name, "cpu");
  EXPECT_EQ(backend->Info().isa, "portable");
  EXPECT_EQ(backend->Info().threads, 3);
  EXPECT_NE(backend->Info().fingerprint.find("portable"), std::string::npos);
}

TEST(CpuBackendTest, FingerprintsOfDifferentInstructionSetsDiffer) {
  std::set<std::string> fingerprints;
  for (const CpuIsa isa : UsableIsas())
    fingerprints.insert(MakeBackend(isa, 1)->Info().fingerprint);
  EXPECT_EQ(fingerprints.size(), UsableIsas().size());
}

TEST(CpuBackendTest, BestIsTheWidestThatTheProcessorHas) {
  EXPECT_EQ(MakeBackend(CpuIsa::kBest, 1)->Info().isa, cpu::IsaName(UsableIsas().back()));
}

TEST(CpuBackendTest, RefusesANegativeNumberOfThreads) {
  EXPECT_EQ(CreateCpuBackend({.threads = -1}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CpuBackendTest, MemoryIsAlignedAndZeroedEachTime) {
  const auto backend = MakeBackend(CpuIsa::kBest, 2);
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{4096}, int64_t{1} << 20,
                              (int64_t{5} << 20) + 7}) {
    for (int repeat = 0; repeat < 2; ++repeat) {
      const DeviceBuffer buffer = *DeviceBuffer::Create(*backend, bytes);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.As<void>()) % 64, 0u);
      for (int64_t i = 0; i < bytes; ++i) ASSERT_EQ(buffer.As<char>()[i], 0);
      std::memset(buffer.As<void>(), 0x5a, bytes);
      backend->Zero(buffer.As<void>(), bytes);
      for (int64_t i = 0; i < bytes; ++i) ASSERT_EQ(buffer.As<char>()[i], 0);
      std::memset(buffer.As<void>(), 0x5a, bytes);
    }
  }
}

TEST(CpuBackendTest, MoreMemoryThanThereIsIsResourceExhausted) {
  const auto backend = MakeBackend(CpuIsa::kBest, 1);
  EXPECT_EQ(backend->Allocate(int64_t{1} << 50).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(CpuBackendTest, CopiesBothWays) {
  const auto backend = MakeBackend(CpuIsa::kBest, 1);
  const std::vector<float> values = Normals(1000, 1);
  const Buffer buffer(*backend, values);
  std::vector<float> back(1000);
  backend->CopyOut(back.data(), buffer.F(), 4000);
  EXPECT_EQ(back, values);
}

// ---- the exponential that the kernels share, through the one primitive that shows it ----

TEST(ExpTest, IsWithinTwoUlpAndExactAtZero) {
  for (const CpuIsa isa : UsableIsas()) {
    SCOPED_TRACE(cpu::IsaName(isa));
    const cpu::Primitives& primitives = cpu::PrimitivesFor(isa);
    std::vector<float> x;
    for (double at = -87.3; at <= 88.3; at += 0.000731) x.push_back(static_cast<float>(at));
    x.push_back(0.0f);
    std::vector<float> y(x.size());
    primitives.exp_scaled(x.data(), 1, 0, static_cast<int64_t>(x.size()), y.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp(static_cast<double>(x[i]));
      const double ulp = std::ldexp(1.0, std::ilogb(expected) - 23);
      worst = std::max(worst, std::abs(y[i] - expected) / ulp);
    }
    EXPECT_LE(worst, 2.0);
    EXPECT_EQ(y.back(), 1.0f);
    const std::vector<float> edges = {-88, -1000, -INFINITY, 89, 1000, INFINITY, NAN};
    std::vector<float> found(edges.size());
    primitives.exp_scaled(edges.data(), 1, 0, static_cast<int64_t>(edges.size()), found.data());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(found[i], 0);
    for (int i = 3; i < 6; ++i) EXPECT_GE(found[i], 2e38f);
    EXPECT_TRUE(std::isnan(found[6]));
  }
}

TEST(RoundingTest, IsThatOfToBF16OnEveryInstructionSet) {
  std::vector<float> values = {0.0f,    -0.0f,  1.0f,    INFINITY,    -INFINITY,
                               3.4e38f, 1e-40f, -1e-40f, 1.00390625f, 1.01171875f};
  const std::vector<float> more = Normals(1000, 1);
  values.insert(values.end(), more.begin(), more.end());
  values.push_back(NAN);
  for (const CpuIsa isa : UsableIsas()) {
    std::vector<BF16> found(values.size());
    cpu::PrimitivesFor(isa).round_to(values.data(), found.data(), DType::kBF16,
                                     static_cast<int64_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(found[i], ToBF16(values[i])) << values[i];
  }
}

}  // namespace
}  // namespace ponder::kernels
