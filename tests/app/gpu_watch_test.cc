// Against made libraries with the driver's functions: no GPU is needed.
#include "app/gpu_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "app/machine_report.h"
#include "base/file.h"

namespace ponder {
namespace {

using testing::HasSubstr;

constexpr double kGib = 1 << 30;

std::string Library(const std::string& name) { return PONDER_TEST_NVML "/" + name + ".so"; }

std::map<std::string, double> Readings(const GpuWatch& watch) {
  std::map<std::string, double> values;
  for (const Reading& reading : watch.Read("learner")) {
    EXPECT_EQ(reading.source, "learner");
    values[reading.name] = reading.value;
  }
  return values;
}

TEST(GpuWatchTest, ReadsWhatEachGpuSaysAndLeavesOutTheRest) {
  const auto watch = GpuWatch::Open(Library("fake"));
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_EQ(Readings(**watch),
            (std::map<std::string, double>{{"gpu0/utilization_percent", 87},
                                           {"gpu0/memory_used_bytes", 50 * kGib},
                                           {"gpu0/memory_total_bytes", 150 * kGib},
                                           {"gpu0/temperature_celsius", 61},
                                           {"gpu0/power_watts", 412.5},
                                           {"gpu1/memory_used_bytes", 50 * kGib},
                                           {"gpu1/memory_total_bytes", 150 * kGib}}));
  EXPECT_EQ((*watch)->DriverVersion(), "580.65.06");
  const std::vector<GpuInfo> gpus = (*watch)->Gpus();
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0].name, "NVIDIA H200");
  EXPECT_EQ(gpus[1].name, "");
  EXPECT_EQ(gpus[1].memory_bytes, int64_t{150} << 30);
}

TEST(GpuWatchTest, GoesWithoutTheFunctionsAndTheGpuThatALibraryLacks) {
  const auto watch = GpuWatch::Open(Library("lacking"));
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_EQ(Readings(**watch),
            (std::map<std::string, double>{{"gpu1/memory_used_bytes", 50 * kGib},
                                           {"gpu1/memory_total_bytes", 150 * kGib}}));
  const std::vector<GpuInfo> gpus = (*watch)->Gpus();
  ASSERT_EQ(gpus.size(), 2u) << "they keep their numbers";
  EXPECT_EQ(gpus[0].memory_bytes, 0);
  EXPECT_EQ(gpus[1].memory_bytes, int64_t{150} << 30);
}

TEST(GpuWatchTest, BoundsWhatALibraryClaims) {
  const auto watch = GpuWatch::Open(Library("absurd"));
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_EQ((*watch)->Gpus().size(), GpuWatch::kMostGpus);
  EXPECT_LE((*watch)->Gpus()[0].name.size(), 96u);
}

TEST(GpuWatchTest, SaysWhyThereIsNone) {
  EXPECT_TRUE(absl::IsNotFound(GpuWatch::Open("libponder-no-such.so.1").status()));
  const absl::Status broken = GpuWatch::Open(Library("broken")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(broken)) << broken;
  EXPECT_THAT(std::string(broken.message()), HasSubstr("NVML error 9"));
  const absl::Status other = GpuWatch::Open("libm.so.6").status();
  EXPECT_THAT(std::string(other.message()), HasSubstr("lacks functions of NVML"));
  const std::string path = testing::TempDir() + "/no_library_" + std::to_string(getpid()) + ".so";
  ASSERT_TRUE(WriteFileAtomically(path,
                                  "\x7f"
                                  "ELF and then nothing")
                  .ok());
  EXPECT_FALSE(GpuWatch::Open(path).ok());
  std::filesystem::remove(path);
}

TEST(GpuWatchTest, DoctorNamesGpusDriverAndMemory) {
  EXPECT_EQ(AboutGpus(GpuWatch::Open(Library("fake"))).text,
            "NVIDIA H200 with 150.00 GiB, without a name with 150.00 GiB; driver 580.65.06");
  EXPECT_THAT(AboutGpus(GpuWatch::Open(Library("broken"))).text, HasSubstr("does not start"));
  const Finding none = AboutGpus(GpuWatch::Open("libponder-no-such.so.1"));
  EXPECT_THAT(none.text, HasSubstr("no NVIDIA driver"));
  EXPECT_EQ(none.level, Finding::Level::kOk);
}

}  // namespace
}  // namespace ponder
