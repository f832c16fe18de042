#include "app/machine_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>

namespace ponder {
namespace {

// A name that holds what divides fields; utime 250 and stime 50 ticks.
constexpr char kSelfStat[] =
    "12 (a) b (c)) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 3 0 1000 1 2";
constexpr char kStat[] = "cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2 3\n";
constexpr char kStatm[] = "1000 25 3 4 0 5 0\n";
constexpr char kMeminfo[] = "MemTotal: 2000 kB\nMemFree: 1 kB\nMemAvailable:    1500 kB\n";

std::map<std::string, double> ByName(const std::vector<Reading>& readings) {
  std::map<std::string, double> values;
  for (const Reading& reading : readings) values[reading.name] = reading.value;
  return values;
}

TEST(MachineWatchTest, ReadsWhatTheKernelSays) {
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const MachineCounts counts = ParseMachineCounts(kSelfStat, kStat, kStatm, kMeminfo);
  EXPECT_EQ(counts.process_cpu_s, 300 / ticks);
  EXPECT_EQ(counts.machine_total_s, 1000 / ticks);
  EXPECT_EQ(counts.machine_busy_s, 150 / ticks);
  EXPECT_EQ(counts.process_bytes, 25.0 * static_cast<double>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(counts.available_bytes, 1500 * 1024);
}

TEST(MachineWatchTest, LeavesOutWhatIsNotThere) {
  const MachineCounts none = ParseMachineCounts("", "nonsense", "x", "MemAvailable: lots");
  EXPECT_TRUE(std::isnan(none.process_cpu_s));
  EXPECT_TRUE(std::isnan(none.machine_total_s));
  EXPECT_TRUE(ToReadings("learner", none, none, 1).empty());
}

TEST(MachineWatchTest, TurnsCountsIntoReadings) {
  const MachineCounts before{.process_cpu_s = 1, .machine_busy_s = 10, .machine_total_s = 100};
  const MachineCounts now{.process_cpu_s = 4,
                          .machine_busy_s = 13,
                          .machine_total_s = 104,
                          .process_bytes = 5,
                          .available_bytes = 6,
                          .disk_free_bytes = 7};
  const auto values = ByName(ToReadings("learner", before, now, 2));
  EXPECT_EQ(values.at("cpu/process_percent"), 150);
  EXPECT_EQ(values.at("cpu/machine_percent"), 75);
  EXPECT_EQ(values.at("memory/process_bytes"), 5);
  EXPECT_EQ(values.at("disk/free_bytes"), 7);
}

}  // namespace
}  // namespace ponder
