#include "app/run_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/app/tiny_model_directory.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using testing::HasSubstr;

TEST(RunMemory, IsPlannedForEachDeviceAndSharedByThoseOfTheProcessor) {
  const std::string folder = FreshDirectory();
  ASSERT_TRUE(WriteTinyModelDirectory(folder + "/model").ok());
  const ModelConfig model = *LoadModelConfig(folder + "/model");
  std::filesystem::remove_all(folder);
  RunConfig config;
  const int64_t one = TotalBytes(*PlanRunMemory(config, model));
  config.machine.memory_gib = 1.5 * static_cast<double>(one) / double(1 << 30);
  EXPECT_TRUE(CheckRunMemory(config, model).ok());
  config.machine.device = "cpu,cpu";
  EXPECT_EQ(TotalBytes(*PlanRunMemory(config, model)), one);
  const absl::Status two = CheckRunMemory(config, model);
  EXPECT_EQ(two.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(two.message()), HasSubstr("machine.memory_gib, divided by 2 devices,"));
  // GPUs have memory of their own each.
  config.machine.device = "cuda:0,cuda:1";
  EXPECT_GT(TotalBytes(*PlanRunMemory(config, model)), one) << "what joins them takes some too";
  config.machine.memory_gib *= 2;
  EXPECT_TRUE(CheckRunMemory(config, model).ok());
}

}  // namespace
}  // namespace ponder
