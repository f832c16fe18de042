#include "observe/prometheus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "base/file.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

// A run with everything that is written.
PrometheusRun MakeRun() {
  PrometheusRun run{.id = "quickstart",
                    .status = "running",
                    .state = {.activity = "generating",
                              .step = 42,
                              .steps = 200,
                              .done = 61,
                              .total = 128,
                              .workers = 2,
                              .left_s = 720.5},
                    .last_step = 41};
  run.train = {{"reward/mean", 0.725},
               {"reward/std", 0.484},
               {"reward/correct", 0.625},
               {"reward/format", 0.1},
               {"part/format", 1},
               {"groups/useful", 0.8125},
               {"groups/all_right", 0.125},
               {"groups/all_wrong", 0.0625},
               {"length/mean", 219.5},
               {"length/truncated", 0.0234375},
               {"policy/entropy", 0.25},
               {"optimizer/gradient_norm", 0.675},
               {"optimizer/learning_rate", 1e-5},
               {"optimizer/skipped_updates", 0},
               {"exactness/logprob_max_abs_diff", 0},
               {"dropped/total", 2},
               {"verdict/CORRECT", 80},
               {"verdict/WRONG", 46},
               {"verifier/retries", 0}};
  run.train["dropped/verifier timeout"] = 2;
  run.train["audit/strict_disagreement"] = 0.125;
  run.train["audit/strict_looked_at"] = 16;
  run.train["audit/strict_failed"] = 0;
  run.train["policy/kl"] = 0.01;
  run.train["policy/clip_low"] = 0.001;
  run.train["policy/clip_high"] = 0.002;
  run.train["staleness/mean"] = 0.5;
  run.train["speed/generate_tokens_per_s"] = 340;
  run.train["speed/learn_tokens_per_s"] = 107;
  run.train["time/generate_s"] = 19.75;
  run.train["time/wait_for_verdicts_s"] = 0.25;
  run.train["time/learn_s"] = 39.5;
  run.train["time/publish_s"] = 0;
  run.train["time/step_s"] = 59.5;
  run.train["time/verify_s"] = 0.03125;
  run.train["own/nothing"] = std::numeric_limits<double>::infinity();
  run.eval = {{"eval/greedy_accuracy", 0.625}, {"eval/sampled_accuracy", 0.5}};
  run.verdicts = {{"CORRECT", 2000}, {"WRONG", 3000}};
  run.dropped = 7;
  run.learnt_tokens = 123456;
  run.events = {{"checkpoint", 4}, {"truncation", 1}};
  run.workers = {
      {.name = "local",
       .role = "rollout",
       .policy_version = 41,
       .running = 64,
       .waiting = 3,
       .busy = 0.5,
       .done = 640,
       .state = "working"},
      {.name = "verifier", .role = "verifier", .done = 640, .restarts = 2, .state = "idle"},
      {.name = "far", .role = "rollout", .done = 7, .state = "lost"}};
  run.readings = {{.source = "learner", .name = "memory/process_bytes", .value = 1},
                  {.source = "learner", .name = "memory/process_bytes", .value = 6.5e9},
                  {.source = "learner", .name = "cpu/process_percent", .value = 150},
                  {.source = "learner", .name = "gpu0/utilization_percent", .value = 87},
                  {.source = "learner", .name = "gpu1/utilization_percent", .value = 5},
                  {.source = "learner", .name = "gpu1/memory_used_bytes", .value = 9e10},
                  {.source = "learner", .name = "gpu1/power_watts", .value = 412.5}};
  return run;
}

// `promtool check metrics` reads the same file where it is installed.
TEST(PrometheusTest, WritesTheTextOfTheGoldenFile) {
  const PrometheusRun runs[] = {MakeRun(), {.id = "a \"b\"\\\n\xff", .status = "stopped"}};
  const std::string text = PrometheusText(runs);
  const std::string path = std::string(PONDER_TEST_DATA) + "/metrics.prom";
  const absl::StatusOr<std::string> golden = ReadFile(path);
  if (!golden.ok() || *golden != text) {
    ASSERT_TRUE(WriteFileAtomically(::testing::TempDir() + "/metrics.prom", text).ok());
  }
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_EQ(text, *golden) << "what was found is in " << ::testing::TempDir() << "/metrics.prom";
}

TEST(PrometheusTest, EveryLineIsHelpOrTypeOrASeriesOfTheFamilyAbove) {
  const PrometheusRun runs[] = {MakeRun(),
                                {.id = "other \"run\"\nwith lines", .status = "stopped"}};
  const std::regex help("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) .+"),
      type("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (gauge|counter)"),
      series(
          R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? )re"
          R"re(([-+0-9.e]+|NaN|[-+]Inf))re");
  std::string family;
  std::set<std::string> families, lines;
  std::istringstream text(PrometheusText(runs));
  for (std::string line; std::getline(text, line);) {
    std::smatch match;
    EXPECT_TRUE(lines.insert(line).second) << line;
    if (std::regex_match(line, match, help)) {
      family = match[1];
      EXPECT_TRUE(families.insert(family).second) << line;
    } else if (std::regex_match(line, match, type)) {
      EXPECT_EQ(match[1], family);
      EXPECT_EQ(match[2] == "counter", family.ends_with("_total")) << line;
    } else {
      ASSERT_TRUE(std::regex_match(line, match, series)) << line;
      EXPECT_EQ(match[1], family) << line;
    }
  }
  EXPECT_GT(families.size(), 40u);
}

TEST(PrometheusTest, NamesUnitsAndTurnsConfiguredNamesIntoLabels) {
  const PrometheusRun runs[] = {MakeRun()};
  const std::string text = PrometheusText(runs);
  for (const char* line :
       {"ponder_time_generate_seconds{run=\"quickstart\"} 19.75\n",
        "ponder_speed_generate_tokens_per_second{run=\"quickstart\"} 340\n",
        "ponder_step_dropped{run=\"quickstart\",reason=\"verifier timeout\"} 2\n",
        "ponder_audit_disagreement{run=\"quickstart\",audit=\"strict\"} 0.125\n",
        "ponder_machine_cpu_process_ratio{run=\"quickstart\",source=\"learner\"} 1.5\n",
        "ponder_machine_memory_process_bytes{run=\"quickstart\",source=\"learner\"} "
        "6500000000\n",
        "ponder_machine_gpu_utilization_ratio{run=\"quickstart\",source=\"learner\",gpu=\"0\"} "
        "0.87\n",
        "ponder_machine_gpu_power_watts{run=\"quickstart\",source=\"learner\",gpu=\"1\"} 412.5\n",
        "ponder_own_nothing{run=\"quickstart\"} +Inf\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(PrometheusTest, KeepsTheFirstOfTwoMetricsWithOneName) {
  const PrometheusRun runs[] = {
      {.id = "r",
       .train = {{"a b", 1}, {"a/b", 2}, {"tokens/learnt/total", 9}, {"verdicts/total", 3}}}};
  const std::string text = PrometheusText(runs);
  EXPECT_THAT(text, HasSubstr("ponder_a_b{run=\"r\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("ponder_a_b{run=\"r\"} 2\n")));
  EXPECT_THAT(text, HasSubstr("# TYPE ponder_tokens_learnt_total counter"));
  EXPECT_THAT(text, HasSubstr("# TYPE ponder_verdicts_total_of_step gauge"));
}

TEST(PrometheusTest, ReadsARunFromItsStore) {
  const std::string directory = FreshDirectory();
  {
    auto store = RunStore::Open(directory + "/run.db", RunStore::Mode::kCreate);
    ASSERT_TRUE(store.ok()) << store.status();
    for (int64_t step = 1; step <= 3; ++step) {
      StepRecord record{.step = step,
                        .metrics = {{"reward/mean", 0.1 * static_cast<double>(step)},
                                    {"verdict/CORRECT", 5},
                                    {"dropped/total", 1},
                                    {"learner/target_tokens", 100}}};
      if (step == 2) record.metrics["verdict/TIMEOUT"] = 4;
      ASSERT_TRUE((*store)->WriteStep(std::move(record)).ok());
    }
    for (int64_t step : {0, 2}) {
      ASSERT_TRUE((*store)
                      ->WriteStep({.step = step,
                                   .phase = "eval/train",
                                   .metrics = {{"eval/greedy_accuracy",
                                                0.25 + 0.1 * static_cast<double>(step)}}})
                      .ok());
    }
    ASSERT_TRUE((*store)->WriteEvent({.step = 1, .kind = "checkpoint", .message = "m"}).ok());
    ASSERT_TRUE((*store)->WriteEvent({.step = 2, .kind = "checkpoint", .message = "m"}).ok());
    ASSERT_TRUE((*store)->WriteReadings({{"learner", "cpu/process_percent", 50}}).ok());
    ASSERT_TRUE((*store)->WriteState({.activity = "learning", .step = 4, .steps = 9}).ok());
  }
  auto reader = RunReader::Open(directory + "/run.db");
  ASSERT_TRUE(reader.ok()) << reader.status();
  const absl::StatusOr<PrometheusRun> run = ReadPrometheusRun(**reader, "r", "running");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->last_step, 3);
  EXPECT_DOUBLE_EQ(run->train.at("reward/mean"), 0.3);
  EXPECT_EQ(run->train.count("verdict/TIMEOUT"), 0u);
  EXPECT_THAT(run->eval, ElementsAre(Pair("eval/greedy_accuracy", 0.45)));
  EXPECT_THAT(run->verdicts, ElementsAre(Pair("CORRECT", 15), Pair("TIMEOUT", 4)));
  EXPECT_EQ(run->dropped, 3);
  EXPECT_EQ(run->learnt_tokens, 300);
  EXPECT_THAT(run->events, ElementsAre(Pair("checkpoint", 2)));
  ASSERT_EQ(run->readings.size(), 1u);
  EXPECT_EQ(run->state.activity, "learning");
  std::filesystem::remove_all(directory);
}

// The dashboard for Grafana asks for series that exist, with labels that they have.
TEST(PrometheusTest, TheGrafanaDashboardAsksForWhatIsWritten) {
  const PrometheusRun runs[] = {MakeRun()};
  std::set<std::string> written;
  std::istringstream text(PrometheusText(runs));
  const std::regex type("# TYPE (\\S+) .*");
  for (std::string line; std::getline(text, line);) {
    std::smatch match;
    if (std::regex_match(line, match, type)) written.insert(match[1]);
  }
  const absl::StatusOr<std::string> file = ReadFile(PONDER_GRAFANA_DASHBOARD);
  ASSERT_TRUE(file.ok()) << file.status();
  const nlohmann::json dashboard = nlohmann::json::parse(*file, nullptr, false);
  ASSERT_TRUE(dashboard.is_object());
  const std::regex name("ponder_[a-zA-Z0-9_]+");
  std::set<int64_t> ids;
  std::set<std::string> asked;
  for (const nlohmann::json& panel : dashboard.at("panels")) {
    EXPECT_TRUE(ids.insert(panel.at("id").get<int64_t>()).second) << panel.at("title");
    for (const nlohmann::json& target : panel.value("targets", nlohmann::json::array())) {
      const std::string expr = target.at("expr").get<std::string>();
      EXPECT_THAT(expr, HasSubstr("run=~\"$run\"")) << panel.at("title");
      auto found = std::sregex_iterator(expr.begin(), expr.end(), name);
      EXPECT_NE(found, std::sregex_iterator()) << expr;
      for (; found != std::sregex_iterator(); ++found) {
        EXPECT_TRUE(written.contains(found->str())) << found->str() << " in " << panel.at("title");
        asked.insert(found->str());
      }
    }
  }
  EXPECT_GT(asked.size(), 20u);
}

}  // namespace
}  // namespace ponder
