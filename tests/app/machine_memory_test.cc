#include "app/machine_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace ponder {
namespace {

constexpr int64_t kGib = int64_t{1} << 30;

// A folder in the place of the file system's root, on a machine of 32 GiB with 16 free.
class MachineMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/machine_memory_" + std::to_string(getpid());
    std::filesystem::remove_all(root_);
    Write("/proc/meminfo",
          "MemTotal:       33554432 kB\nMemFree: 1 kB\nMemAvailable:   16777216 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(root_ + path, text).ok());
  }
  void WriteGroup(const std::string& folder, const std::string& limit, int64_t used,
                  int64_t inactive) {
    const std::string path = "/sys/fs/cgroup" + folder;
    Write(path + "/memory.max", limit + "\n");
    Write(path + "/memory.current", std::to_string(used) + "\n");
    Write(path + "/memory.stat",
          "anon 5\ninactive_file " + std::to_string(inactive) + "\nactive_file 7\n");
  }
  MachineMemory Memory() { return *ReadMachineMemory(root_); }

  std::string root_;
};

TEST_F(MachineMemoryTest, IsWhatTheMachineHasFreeWithoutControlGroups) {
  EXPECT_EQ(Memory().total, 32 * kGib);
  EXPECT_EQ(Memory().available, 16 * kGib);
  EXPECT_EQ(Memory().limit, std::nullopt);
}

TEST_F(MachineMemoryTest, IsNoMoreThanAControlGroupLeaves) {
  Write("/proc/self/cgroup", "0::/outer/inner\n");
  WriteGroup("/outer/inner", "max", kGib, 0);
  WriteGroup("/outer", std::to_string(8 * kGib), 3 * kGib, kGib);
  // What was read from files and is not in use can be had again.
  EXPECT_EQ(Memory().available, 6 * kGib);
  EXPECT_EQ(Memory().limit, 8 * kGib);
  WriteGroup("/outer/inner", std::to_string(4 * kGib), 3 * kGib, 0);
  EXPECT_EQ(Memory().available, kGib);
  EXPECT_EQ(Memory().limit, 4 * kGib);
  WriteGroup("/outer/inner", std::to_string(4 * kGib), 5 * kGib, 0);
  EXPECT_EQ(Memory().available, 0);
}

TEST_F(MachineMemoryTest, IsNoMoreThanTheMachineHasFreeWhateverAGroupAllows) {
  Write("/proc/self/cgroup", "0::/\n");
  WriteGroup("", std::to_string(30 * kGib), kGib, 0);
  EXPECT_EQ(Memory().available, 16 * kGib);
  EXPECT_EQ(Memory().limit, 30 * kGib);
  WriteGroup("", std::to_string(64 * kGib), kGib, 0);
  EXPECT_EQ(Memory().limit, std::nullopt);
}

TEST_F(MachineMemoryTest, KnowsTheFilesOfVersion1) {
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(2 * kGib) + "\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(kGib) + "\n");
  Write("/sys/fs/cgroup/memory/memory.stat", "inactive_file 9\ntotal_inactive_file 1048576\n");
  EXPECT_EQ(Memory().available, kGib + 1048576);
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Memory().available, 16 * kGib);
}

TEST_F(MachineMemoryTest, SaysSoWhereTheKernelDoesNotTell) {
  Write("/proc/meminfo", "MemTotal: many\n");
  const absl::Status status = ReadMachineMemory(root_).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(ReadMachineMemory().ok());
}

}  // namespace
}  // namespace ponder
