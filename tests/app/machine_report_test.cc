#include "app/machine_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace ponder {
namespace {

using testing::HasSubstr;
using Level = Finding::Level;

constexpr int64_t kGib = int64_t{1} << 30;

TEST(MachineReportTest, ReadsWhatTheKernelWrites) {
  EXPECT_EQ(ChosenWord("always [madvise] never"), "madvise");
  EXPECT_EQ(ChosenWord("nothing"), "");
  EXPECT_EQ(ChosenWord("] ["), "");
  EXPECT_EQ(QuotaCores("150000 100000"), 1.5);
  EXPECT_EQ(QuotaCores("max 100000"), std::nullopt);
  EXPECT_EQ(QuotaCores(""), std::nullopt);
}

TEST(MachineReportTest, WarnsOfAQuotaBelowTheCores) {
  const Finding finding = AboutCores(8, 2.5, 0);
  EXPECT_EQ(finding.level, Level::kWarning);
  EXPECT_THAT(finding.advice, HasSubstr("machine.threads = 2"));
  EXPECT_EQ(AboutCores(8, 8.0, 0).level, Level::kOk);
  EXPECT_EQ(AboutCores(8, std::nullopt, 7).level, Level::kNote);
}

TEST(MachineReportTest, NamesTheMemoryThatAControlGroupAllows) {
  const Finding free = AboutMemory({.total = 32 * kGib, .available = 16 * kGib});
  EXPECT_EQ(free.level, Level::kOk);
  EXPECT_EQ(free.text, "32.00 GiB, 16.00 GiB free for a run");
  const Finding limited =
      AboutMemory({.total = 32 * kGib, .available = 7 * kGib, .limit = 8 * kGib});
  EXPECT_EQ(limited.level, Level::kOk);
  EXPECT_THAT(limited.text, HasSubstr("a control group allows 8.00 GiB"));
  EXPECT_EQ(AboutMemory({.total = 32 * kGib, .available = 2 * kGib}).level, Level::kWarning);
}

TEST(MachineReportTest, AdvisesHugePagesAndFreeDisk) {
  EXPECT_EQ(AboutHugePages("madvise").level, Level::kOk);
  EXPECT_THAT(AboutHugePages("never").advice, HasSubstr("transparent_hugepage"));
  EXPECT_EQ(AboutDisk(uint64_t{100} << 30).level, Level::kOk);
  EXPECT_EQ(AboutDisk(1 << 30).level, Level::kWarning);
}

}  // namespace
}  // namespace ponder
