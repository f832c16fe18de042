#include "observe/dashboard/metric_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "observe/sqlite.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// A step of two groups of two samples of four tokens, written with the changes that a test makes.
class MetricPartsTest : public ::testing::Test {
 protected:
  MetricPartsTest() {
    record_ = MakeStep("train", 1, {.groups = 2, .completions = 2, .tokens = 4});
    for (ScoredGroup& scored : record_.groups) scored.advantages = {0, 0};
    for (ScoredGroup& scored : record_.groups) {
      for (Completion& completion : scored.group.completions) {
        completion.sampled_mask = {1, 1, 1, 0};
      }
    }
  }
  ~MetricPartsTest() override { std::filesystem::remove_all(directory_); }

  void Write() {
    auto store = RunStore::Open(path_, RunStore::Mode::kCreate);
    ASSERT_TRUE(store.ok() && (*store)->WriteStep(record_).ok());
    auto reader = RunReader::Open(path_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_ = *std::move(reader);
    groups_ = *reader_->Groups("train", 1);
  }

  absl::StatusOr<std::optional<MetricParts>> Read(const std::string& metric,
                                                  absl::Duration limit = absl::Seconds(60)) {
    return ReadMetricParts(metric, groups_, *reader_, limit);
  }
  // The metric as its parts make it.
  double Mean(const std::string& metric) {
    const auto parts = Read(metric);
    EXPECT_TRUE(parts.ok() && parts->has_value()) << metric;
    EXPECT_EQ((*parts)->kind, MetricParts::Kind::kMean);
    double sum = 0, count = 0;
    for (const MetricPart& part : (*parts)->groups) {
      sum += part.sum;
      count += part.count;
    }
    return sum / count;
  }
  std::vector<TellingToken> Tokens(const std::string& metric) {
    const auto tokens = TellingTokens(metric, groups_, *reader_, 100, absl::Seconds(60));
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    return *tokens;
  }

  const std::string directory_ = FreshDirectory(), path_ = directory_ + "/run.db";
  StepRecord record_;
  std::unique_ptr<RunReader> reader_;
  std::vector<GroupSummary> groups_;
};

// What app/step_score.cc makes of the same.
TEST_F(MetricPartsTest, MakesUpTheMetricsOfGroupsAndVerdicts) {
  const auto& [first, second] = std::tie(record_.groups[0], record_.groups[1]);
  // Both all wrong, but the shaped rewards of the second differ: it has a signal.
  for (ScoredGroup& scored : record_.groups) {
    for (Verdict& verdict : scored.verdicts) {
      verdict.status = VerdictStatus::kWrong;
      verdict.parts.clear();
    }
  }
  second.advantages = {1, -1};
  first.verdicts[0].parts["style"] = 0.25;
  first.rewards[0].parts["style"] = 0.25;
  Write();
  EXPECT_EQ(Mean("groups/useful"), 0.5);
  EXPECT_EQ(Mean("groups/all_wrong"), 0.5);
  EXPECT_EQ(Mean("groups/all_right"), 0);
  EXPECT_EQ(Mean("verdict/WRONG"), 4);
  EXPECT_EQ(Mean("part/style"), 0.25);        // of the verdicts that have it
  EXPECT_EQ(Mean("reward/style"), 0.25 / 4);  // of all completions
}

TEST_F(MetricPartsTest, CountsTheTokensThatTheModelSampled) {
  record_.clips = {{{1, 0, 0, 0}, {}}, {{}, {}}};
  Write();
  EXPECT_EQ(Mean("policy/clip_high"), 1.0 / 12);
  EXPECT_EQ(Mean("policy/clip_low"), 0);
}

TEST_F(MetricPartsTest, TellsWhatIsNoMeanOverGroups) {
  for (size_t i = 0; i < 2; ++i) record_.groups[0].rewards[i].total = 0;
  for (size_t i = 0; i < 2; ++i) record_.groups[1].rewards[i].total = static_cast<double>(4 * i);
  record_.groups[1].advantages = {1, -1};
  Write();
  const auto spread = **Read("reward/std");
  EXPECT_EQ(spread.kind, MetricParts::Kind::kSpread);
  EXPECT_EQ(spread.groups[0].sum, 2);   // the mean is 1
  EXPECT_EQ(spread.groups[1].sum, 10);  // of 0 and 4
  const auto pull = **Read("optimizer/gradient_norm");
  EXPECT_EQ(pull.kind, MetricParts::Kind::kPull);
  EXPECT_EQ(pull.groups[0].sum, 0);
  EXPECT_EQ(pull.groups[1].sum, 8);
  EXPECT_FALSE(Read("time/step_s")->has_value());
}

TEST_F(MetricPartsTest, EndsWhereReadingTakesTooLong) {
  Write();
  EXPECT_EQ(Read("policy/entropy", -absl::Seconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Read("reward/mean", -absl::Seconds(1)).ok());  // reads no completion
}

TEST_F(MetricPartsTest, BearsAStoreWithoutSomeOfTheArrays) {
  record_.groups[0].group.completions[0].entropies[0] = NAN;
  Write();
  EXPECT_THAT(Tokens("policy/entropy"), SizeIs(11));
  auto database = SqliteDatabase::Open(path_, SqliteDatabase::Access::kWrite);
  ASSERT_TRUE((*database)->Execute("UPDATE tokens SET token_ids = x''").ok());
  EXPECT_THAT(Tokens("policy/entropy"), IsEmpty());
  EXPECT_THAT(Tokens("optimizer/gradient_norm"), IsEmpty());
  ASSERT_TRUE((*database)->Execute("DELETE FROM tokens").ok());
  EXPECT_THAT(Tokens("policy/entropy"), IsEmpty());
  EXPECT_TRUE(std::isnan(Mean("policy/entropy")));
}

}  // namespace
}  // namespace ponder
