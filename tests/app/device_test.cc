#include "app/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/device_set.h"
#include "app/session.h"

namespace ponder {
namespace {

using testing::HasSubstr;

TEST(Device, IsTheCpuOrAGpuByItsNumber) {
  EXPECT_EQ(*ParseDevice("cpu"), std::nullopt);
  EXPECT_EQ(*ParseDevice("cuda"), 0);
  EXPECT_EQ(*ParseDevice("cuda:0"), 0);
  EXPECT_EQ(*ParseDevice("cuda:7"), 7);
  for (const char* name : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1024", "cuda0", "CUDA"}) {
    EXPECT_EQ(ParseDevice(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(Device, SeveralAreOfOneKindAndEachGpuThereOnce) {
  using Devices = std::vector<std::optional<int>>;
  EXPECT_EQ(*ParseDevices("cpu"), Devices{std::nullopt});
  EXPECT_EQ(*ParseDevices("cpu,cpu"), (Devices{std::nullopt, std::nullopt}));
  EXPECT_EQ(*ParseDevices("cuda:1,cuda"), (Devices{1, 0}));
  for (const char* list : {"", ",", "cpu,", "cpu,cuda", "cuda,cuda:0", "cuda:1 cuda:2"}) {
    EXPECT_EQ(ParseDevices(list).status().code(), absl::StatusCode::kInvalidArgument) << list;
  }
  EXPECT_FALSE(ParseDevice("cpu,cpu").ok()) << "one alone, for commands that take one";
}

TEST(Device, SeveralOfTheProcessorShareItsThreads) {
  const auto devices = OpenDevices({.device = "cpu,cpu", .threads = 5});
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->backends.size(), 2);
  for (const auto& backend : devices->backends) EXPECT_EQ(backend->Info().threads, 2);
  EXPECT_EQ(OpenDevices({.device = "cpu,cpu", .threads = 1})->backends[1]->Info().threads, 1);
}

TEST(Device, AnInstructionSetIsOfTheCpuAlone) {
  const absl::Status status = CreateBackend({.device = "cuda", .isa = "avx2"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("expected the instruction set best"));
}

TEST(Device, FastNumericsAreOfAGpuAlone) {
  EXPECT_THAT(CreateBackend({.numerics = "fast"}).status().message(),
              HasSubstr("expected the numerics exact with the device cpu"));
  EXPECT_THAT(CreateBackend({.numerics = "quick"}).status().message(),
              HasSubstr("expected exact or fast as numerics, found 'quick'"));
}

}  // namespace
}  // namespace ponder
