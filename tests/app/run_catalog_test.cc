#include "app/run_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/run_compare.h"
#include "app/run_directory.h"
#include "app/run_export.h"
#include "base/file.h"
#include "observe/run_folders.h"
#include "tests/app/stored_run.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;

class RunCatalogTest : public testing::Test {
 protected:
  ~RunCatalogTest() override { std::filesystem::remove_all(folder_); }

  void SetState(const std::string& run, const std::string& activity) {
    const auto store = RunStore::Open(run + "/run.db", RunStore::Mode::kAppend);
    ASSERT_TRUE((*store)->WriteState({.activity = activity, .steps = 9}).ok());
  }
  std::string Message(const std::string& run) {
    return std::string(OpenRun(run).status().message());
  }
  // The lines that an export writes.
  template <typename Export>
  std::vector<std::string> Lines(const std::string& run, Export write) {
    const auto reader = OpenRun(run);
    EXPECT_TRUE(reader.ok()) << reader.status();
    std::string text;
    const absl::Status status = write(**reader, [&](std::string_view piece) {
      text += piece;
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    std::vector<std::string> lines;
    for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      lines.push_back(text.substr(0, end));
    }
    EXPECT_EQ(text, "");
    return lines;
  }

  const std::string folder_ = FreshDirectory();
};

TEST_F(RunCatalogTest, FindsRunsAndSummarizesThem) {
  WriteStoredRun(folder_ + "/b", 2, 2);
  WriteStoredRun(folder_ + "/a", 2, 5);
  ASSERT_TRUE(MakeDirectories(folder_ + "/no_run").ok());
  EXPECT_THAT(RunsIn(folder_), ElementsAre(folder_ + "/a", folder_ + "/b"));
  EXPECT_THAT(RunsIn(folder_ + "/a"), ElementsAre(folder_ + "/a"));
  const RunSummary summary = SummarizeRun(folder_ + "/a");
  EXPECT_EQ(summary.fault, "");
  EXPECT_EQ(summary.step, 2);
  EXPECT_EQ(summary.steps, 5);
  EXPECT_THAT(summary.rewards, ElementsAre(0.1, 0.2));
  ASSERT_TRUE(summary.accuracy.has_value());
  EXPECT_EQ(summary.accuracy->low, 0.4);
  EXPECT_GT(summary.bytes, 1000u);
}

TEST_F(RunCatalogTest, ARunIsRunningWhereItsFolderIsLocked) {
  const std::string run = folder_ + "/run";
  WriteStoredRun(run, 2, 2);
  EXPECT_EQ(SummarizeRun(run).status, "finished");  // by its steps: it has no state
  SetState(run, "generating");
  EXPECT_EQ(SummarizeRun(run).status, "stopped");  // killed
  {
    const auto directory = RunDirectory::Open(run);
    ASSERT_TRUE(directory.ok()) << directory.status();
    EXPECT_EQ(SummarizeRun(run).status, "running");
  }
  SetState(run, "failed");
  EXPECT_EQ(SummarizeRun(run).status, "failed");
  SetState(run, "finished");
  EXPECT_EQ(SummarizeRun(run).status, "finished");
}

TEST_F(RunCatalogTest, SaysWhatIsWrongWithAStoreThatCannotBeRead) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/run.db", "no database").ok());
  const RunSummary summary = SummarizeRun(folder_);
  EXPECT_EQ(summary.status, "unreadable");
  EXPECT_NE(summary.fault, "");
  EXPECT_FALSE(summary.written_at.has_value());  // it has no configuration either
}

TEST_F(RunCatalogTest, AMistypedRunNamesTheNearest) {
  WriteStoredRun(folder_ + "/first", 1, 1);
  EXPECT_THAT(Message(folder_ + "/frist"), ContainsRegex("did you mean .*/first\\?"));
  EXPECT_THAT(Message(folder_), HasSubstr(folder_ + "/first"));
  EXPECT_THAT(Message(folder_ + "/something"), ContainsRegex("`ponder runs .*` lists runs"));
}

TEST_F(RunCatalogTest, ComparesSettingsMetricsAndEvaluations) {
  WriteStoredRun(folder_ + "/a", 8, 8, "[rollout]\ntemperature = 0.8\n");
  WriteStoredRun(folder_ + "/b", 6, 6, "[rollout]\ntop_k = 5\ntemperature = 1.0\n");
  const auto comparison = CompareRuns(folder_ + "/a", folder_ + "/b");
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  ASSERT_EQ(comparison->settings.size(), 3u);
  EXPECT_EQ(comparison->settings[0].key, "rollout.temperature");
  EXPECT_THAT(comparison->settings[0].values, ElementsAre("0.8", "1.0"));
  EXPECT_EQ(comparison->settings[1].key, "rollout.top_k");
  EXPECT_THAT(comparison->settings[1].values, ElementsAre(std::nullopt, "5"));
  EXPECT_EQ(comparison->settings[2].key, "run.steps");
  EXPECT_EQ(comparison->equal_step, 6);
  const auto reward =
      std::ranges::find(comparison->metrics, "reward/mean", &RunComparison::Metric::name);
  ASSERT_NE(reward, comparison->metrics.end());
  EXPECT_NEAR(reward->a_end, 0.6, 1e-9);    // steps 4 to 8
  EXPECT_NEAR(reward->a_equal, 0.4, 1e-9);  // steps 2 to 6
  EXPECT_NEAR(reward->b_equal, 0.4, 1e-9);
  ASSERT_EQ(comparison->evaluations.size(), 2u);  // behind steps 6 and 8
  EXPECT_FALSE(comparison->evaluations[0].a.has_value());
  EXPECT_EQ(comparison->evaluations[0].b->high, 0.6);
}

TEST_F(RunCatalogTest, ExportsMetricsAsATable) {
  WriteStoredRun(folder_ + "/run", 2, 2);
  const std::vector<std::string> csv = Lines(folder_ + "/run", ExportMetricsCsv);
  ASSERT_EQ(csv.size(), 4u);
  EXPECT_EQ(csv[0],
            "phase,step,written_at,eval/greedy_accuracy,eval/greedy_accuracy_high,"
            "eval/greedy_accuracy_low,length/mean,reward/mean");
  EXPECT_THAT(csv[1], AllOf(testing::StartsWith("train,1,2"), testing::EndsWith(",,,,40,0.1")));
  EXPECT_THAT(csv[3], testing::EndsWith(",0.5,0.6,0.4,,"));
  const std::vector<std::string> lines = Lines(folder_ + "/run", ExportMetricsJson);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(json::parse(lines[1])["metrics"]["reward/mean"], 0.2);
  EXPECT_FALSE(json::parse(lines[1])["metrics"].contains("eval/greedy_accuracy"));
}

TEST_F(RunCatalogTest, ExportsCompletionsAndEvents) {
  WriteStoredRun(folder_ + "/run", 2, 2);
  const auto completions = [](bool tokens) {
    return [tokens](RunReader& reader, const TextSink& sink) {
      return ExportCompletions(reader, tokens, sink);
    };
  };
  const std::vector<std::string> lines = Lines(folder_ + "/run", completions(false));
  ASSERT_EQ(lines.size(), 12u);  // 2 steps of 2 groups of 3
  const json first = json::parse(lines[0]);
  EXPECT_EQ(first["step"], 1);
  EXPECT_EQ(first["text"], "answer 0 of 0 🙂");
  EXPECT_EQ(first["seed"], "18446744073709551614");
  EXPECT_FALSE(first.contains("logprobs"));
  const json whole = json::parse(Lines(folder_ + "/run", completions(true))[0]);
  EXPECT_EQ(whole["logprobs"].size(), 40u);
  const std::vector<std::string> events = Lines(folder_ + "/run", ExportEvents);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(json::parse(events[0])["message"], "step, \"last\"");
}

}  // namespace
}  // namespace ponder
