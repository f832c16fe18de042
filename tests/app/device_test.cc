#include "app/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
