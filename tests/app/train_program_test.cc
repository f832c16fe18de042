// The whole program on a tiny random model: trains, is killed, resumes, and leaves the same run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/file.h"
#include "base/random.h"
#include "observe/run_reader.h"
#include "observe/run_store.h"
#include "tests/app/program.h"
#include "tests/app/tiny_run.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kSteps = 6;

class TrainProgramTest : public TinyRunTest {
 protected:
  TrainProgramTest() : TinyRunTest(kSteps) {}
};

// Everything of a run that must not depend on time or on being interrupted.
struct RunContent {
  std::map<std::pair<std::string, int64_t>, Metrics> metrics;  // by phase and step
  std::vector<std::string>
      completions;  // in order: step, task, index, ids, log-prob bits, verdict, advantage

  bool operator==(const RunContent&) const = default;
};

RunContent ReadRun(const std::string& directory) {
  RunContent content;
  absl::StatusOr<std::unique_ptr<RunStore>> store =
      RunStore::Open(directory + "/run.db", RunStore::Mode::kRead);
  EXPECT_TRUE(store.ok()) << store.status();
  if (!store.ok()) return content;
  for (const std::string phase : {"sft", "train", "eval/untrained", "eval/train"}) {
    const std::vector<StoredMetric> metrics = *(*store)->ReadMetrics(phase);
    for (const StoredMetric& metric : metrics) {
      const std::string& name = metric.name;
      const bool timing = name.starts_with("time/") || name.starts_with("speed/") ||
                          name.ends_with("_s") || name.ends_with("_per_s") ||
                          name == "verifier/retries";
      if (!timing) content.metrics[{phase, metric.step}][name] = metric.value;
    }
    for (int64_t step = 0; step <= kSteps; ++step) {
      const std::vector<StoredCompletion> rows = *(*store)->ReadCompletions(phase, step);
      for (const StoredCompletion& row : rows) {
        std::string line =
            fmt::format("{} {} {} {}", phase, step, row.task.id, row.completion.sample_index);
        for (int32_t id : row.completion.token_ids) line += fmt::format(" {}", id);
        for (float logprob : row.completion.logprobs) line += fmt::format(" {:a}", logprob);
        line += fmt::format(" {} {:a} {:a}", ToString(row.verdict.status), row.reward.total,
                            row.advantage);
        content.completions.push_back(line);
      }
    }
  }
  std::sort(content.completions.begin(), content.completions.end());
  return content;
}

std::vector<WorkerRecord> ReadWorkers(const std::string& directory) {
  absl::StatusOr<std::unique_ptr<RunReader>> reader = RunReader::Open(directory + "/run.db");
  EXPECT_TRUE(reader.ok()) << reader.status();
  return reader.ok() ? *(*reader)->Workers() : std::vector<WorkerRecord>();
}

void ExpectWhole(const RunContent& content) {
  for (int64_t step = 1; step <= kSteps; ++step)
    EXPECT_EQ(content.metrics.count({"train", step}), 1u) << step;
  const std::set<std::string> unique(content.completions.begin(), content.completions.end());
  EXPECT_EQ(unique.size(), content.completions.size());
}

// Metric by metric, so that a difference names itself.
void ExpectSameRun(const RunContent& actual, const RunContent& expected) {
  EXPECT_EQ(actual.completions, expected.completions);
  ASSERT_EQ(actual.metrics.size(), expected.metrics.size());
  for (const auto& [key, metrics] : expected.metrics) {
    const auto found = actual.metrics.find(key);
    ASSERT_NE(found, actual.metrics.end()) << key.first << " " << key.second;
    EXPECT_EQ(found->second, metrics) << key.first << " " << key.second;
  }
}

TEST_F(TrainProgramTest, TrainsAndLeavesAWholeRunDirectory) {
  const ProgramResult result = RunPonder(Train("a"));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("6 prompts x 8 completions = 48 sequences, 1 update"));
  EXPECT_TRUE(fs::exists(Run("a") + "/config.toml"));
  EXPECT_TRUE(fs::exists(Run("a") + "/log.txt"));
  EXPECT_TRUE(fs::exists(Run("a") + "/reward.svg"));
  EXPECT_TRUE(fs::exists(Run("a") + "/checkpoints/step-000006/config.json"));
  EXPECT_TRUE(fs::exists(Run("a") + "/checkpoints/step-000006/tokenizer.json"));
  const RunContent content = ReadRun(Run("a"));
  ExpectWhole(content);
  EXPECT_EQ(content.completions.size(), static_cast<size_t>(kSteps * 48 + 3 * 3 * 2));
  bool learnt = false;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const Metrics& metrics = content.metrics.at({"train", step});
    EXPECT_EQ(metrics.at("exactness/logprob_max_abs_diff"), 0) << step;
    EXPECT_EQ(metrics.at("dropped/total"), 0);
    learnt |= metrics.at("groups/useful") > 0 && metrics.at("optimizer/gradient_norm") > 0;
  }
  EXPECT_TRUE(learnt) << "no group had a signal: the test says nothing about updates";
}

// Sampler and learner agree to the last bit with every instruction set, forced where the processor
// has a wider one.
TEST_F(TrainProgramTest, IsExactWithEveryInstructionSet) {
  int ran = 0;
  for (const std::string isa : {"portable", "avx2", "avx512", "avx512_bf16", "amx"}) {
    SCOPED_TRACE(isa);
    const ProgramResult result =
        RunPonder(Train(isa, {"run.steps=2", "model.dtype=bf16", "machine.isa=" + isa}));
    if (result.exit_code != 0) {
      EXPECT_THAT(result.output, HasSubstr("expected a processor with " + isa));
      continue;
    }
    ++ran;
    const RunContent content = ReadRun(Run(isa));
    for (int64_t step = 1; step <= 2; ++step) {
      const Metrics& metrics = content.metrics.at({"train", step});
      EXPECT_EQ(metrics.at("exactness/logprob_max_abs_diff"), 0) << step;
    }
  }
  EXPECT_GE(ran, 1) << "portable runs anywhere";
}

TEST_F(TrainProgramTest, StaysWithinItsMemoryPlan) {
  const ProgramResult plan =
      RunPonder({"model", "info", "--json", "--plan", folder_ + "/run.toml"});
  ASSERT_EQ(plan.exit_code, 0) << plan.output;
  const double planned = nlohmann::json::parse(plan.output)["total_bytes"].get<double>();
  const ProgramResult result = RunPonder(Train("a"));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  rusage usage = {};
  getrusage(RUSAGE_CHILDREN, &usage);  // the largest of them, which is the run
  EXPECT_LE(1024.0 * static_cast<double>(usage.ru_maxrss), planned);
}

TEST_F(TrainProgramTest, KilledAtRandomMomentsAndResumedItLeavesTheSameRun) {
  ASSERT_EQ(RunPonder(Train("undisturbed")).exit_code, 0);
  const RunContent expected = ReadRun(Run("undisturbed"));
  RandomStream random(MakeRandomKey(5, "kills"));
  for (int round = 0; round < 3; ++round) {
    const std::string name = fmt::format("killed-{}", round);
    std::vector<std::string> command = Train(name);
    int kills = 0;
    for (;;) {
      absl::StatusOr<ChildProcess> child = StartPonder(command);
      ASSERT_TRUE(child.ok()) << child.status();
      // So many lines of the console, then some milliseconds more, then kill -9. The last start
      // runs to its end.
      const int64_t lines = random.Between(4, 14);
      bool ended = false;
      for (int64_t i = 0; (i < lines || kills == 4) && !ended; ++i)
        ended = !child->ReadLine(absl::Seconds(60)).ok();
      if (!ended) {
        (void)child->ReadLine(absl::Milliseconds(random.Between(1, 30)));
        child->Kill();
        ++kills;
        if (fs::exists(Run(name) + "/config.toml")) command = Resume(name);
        continue;
      }
      break;
    }
    EXPECT_GT(kills, 0);
    const ProgramResult last = RunPonder(Resume(name));
    EXPECT_EQ(last.exit_code, 0) << last.output;
    const RunContent content = ReadRun(Run(name));
    ExpectWhole(content);
    ExpectSameRun(content, expected);
  }
}

TEST_F(TrainProgramTest, TwoDevicesLeaveTheSameRunAlsoWhenKilledAndResumed) {
  const std::vector<std::string> two = {"machine.device=cpu,cpu"};
  const ProgramResult result = RunPonder(Train("undisturbed", two));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output,
              HasSubstr("devices: cpu,cpu; gradients are added up over the host's memory"));
  EXPECT_THAT(result.output, HasSubstr(" on each device ("));
  const RunContent expected = ReadRun(Run("undisturbed"));
  ExpectWhole(expected);
  for (int64_t step = 1; step <= kSteps; ++step) {
    EXPECT_EQ(expected.metrics.at({"train", step}).at("exactness/logprob_max_abs_diff"), 0);
  }

  absl::StatusOr<ChildProcess> child = StartPonder(Train("killed", two));
  ASSERT_TRUE(child.ok()) << child.status();
  std::string line;
  while (line.find("step 3/6") == std::string::npos) {
    absl::StatusOr<std::string> next = child->ReadLine(absl::Seconds(60));
    ASSERT_TRUE(next.ok()) << next.status();
    line = *std::move(next);
  }
  child->Kill();
  const ProgramResult resumed = RunPonder(Resume("killed"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  ExpectSameRun(ReadRun(Run("killed")), expected);
}

// Whoever generates, the same tokens come out, and so the same updates.
TEST_F(TrainProgramTest, DevicesThatOnlyGenerateLeaveTheSameRun) {
  ASSERT_EQ(RunPonder(Train("one")).exit_code, 0);
  const ProgramResult result = RunPonder(Train("apart", {"machine.rollout_device=cpu,cpu"}));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("completions: generated on cpu,cpu; weights reach it over "
                                       "the host's memory"));
  ExpectSameRun(ReadRun(Run("apart")), ReadRun(Run("one")));
}

TEST_F(TrainProgramTest, ARunGoesOnWithAnotherNumberOfDevices) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=2"})).exit_code, 0);
  for (const auto& [steps, devices] : {std::pair(4, "cpu,cpu,cpu"), {6, "cpu"}}) {
    const ProgramResult resumed = RunPonder({"train", "--resume", "--run", Run("run"), "--set",
                                             fmt::format("run.steps={}", steps), "--set",
                                             fmt::format("machine.device={}", devices)});
    ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  }
  const RunContent content = ReadRun(Run("run"));
  ExpectWhole(content);
  for (int64_t step = 1; step <= kSteps; ++step) {
    EXPECT_EQ(content.metrics.at({"train", step}).at("exactness/logprob_max_abs_diff"), 0) << step;
  }
}

TEST_F(TrainProgramTest, AKilledVerifierIsStartedAgainAndNothingIsLost) {
  ASSERT_EQ(RunPonder(Train("undisturbed")).exit_code, 0);
  const RunContent expected = ReadRun(Run("undisturbed"));
  absl::StatusOr<ChildProcess> child = StartPonder(Train("bereft"));
  ASSERT_TRUE(child.ok());
  int killed = 0;
  for (;;) {
    const absl::StatusOr<std::string> line = child->ReadLine(absl::Seconds(60));
    if (!line.ok()) break;
    if (line->find("step 1/6") != std::string::npos ||
        line->find("step 3/6") != std::string::npos) {
      // The run's only child is its verifier, whichever thread has started it.
      std::string children;
      for (const auto& thread : fs::directory_iterator(fmt::format("/proc/{}/task", child->Pid())))
        children += *ReadFile(thread.path().string() + "/children");
      if (const int pid = std::atoi(children.c_str()); pid > 0) {
        kill(pid, SIGKILL);
        ++killed;
      }
    }
  }
  EXPECT_EQ(killed, 2);
  const std::vector<WorkerRecord> workers = ReadWorkers(Run("bereft"));
  ASSERT_EQ(workers.size(), 3u);
  for (const WorkerRecord& worker : workers) {
    EXPECT_EQ(worker.state, "left") << worker.name;
    EXPECT_GE(worker.done, worker.role == "learner" ? 1 : kSteps * 48) << worker.name;
    if (worker.role != "verifier") continue;
    EXPECT_EQ(worker.restarts, 2);
    EXPECT_THAT(worker.last_words, HasSubstr("ended by signal 9 (Killed)"));
    EXPECT_THAT(worker.address, HasSubstr("process "));
  }
  const RunContent content = ReadRun(Run("bereft"));
  ExpectWhole(content);
  ExpectSameRun(content, expected);
}

TEST_F(TrainProgramTest, SeveralVerifiersShapingAndAnAuditMakeOneRun) {
  const std::string config = *ReadFile(folder_ + "/run.toml", 1 << 16) +
                             fmt::format(R"(
[verifiers.short]
command = ["python3", "{}", "40"]
weight = 0.5
[verifiers.limit]
plugin = "{}"
weight = 0.25
[verifiers.strict]
name = "math"
role = "audit"
share = 0.5
[reward]
r1_format = 0.125
gates = ["short"]
[reward.repetition]
weight = 0.1
ngram = 1
)",
                                         PONDER_EXAMPLE_COMMAND, PONDER_EXAMPLE_PLUGIN);
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/run.toml", config).ok());
  const ProgramResult result = RunPonder(Train("several"));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const RunContent content = ReadRun(Run("several"));
  ExpectWhole(content);
  double correct = 0, disputed = 0;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const Metrics& metrics = content.metrics.at({"train", step});
    EXPECT_EQ(metrics.at("dropped/total"), 0);
    double sum = 0;
    for (const char* part :
         {"correct", "format", "short", "limit", "r1_format", "repetition", "gated"})
      sum += metrics.at(std::string("reward/") + part);
    EXPECT_NEAR(sum, metrics.at("reward/mean"), 1e-9);
    EXPECT_NEAR(metrics.at("reward/short"), 0.5 * metrics.at("part/short"), 1e-9);
    EXPECT_LT(metrics.at("reward/repetition"), 0);
    EXPECT_EQ(metrics.at("part/limit"), 0);  // random texts hold no "Answer:"
    EXPECT_GT(metrics.at("audit/strict_looked_at"), 0);
    EXPECT_LT(metrics.at("audit/strict_looked_at"), 48);
    correct += 48 * metrics.at("reward/correct");
    disputed += metrics.at("audit/strict_looked_at") * metrics.at("audit/strict_disagreement");
  }
  // The strict reading finds no answer in any of them, so every right one that it saw is disputed.
  EXPECT_GT(disputed, 0);
  EXPECT_LT(disputed, correct);
  EXPECT_TRUE(fs::exists(Run("several") + "/audit.svg"));
  const std::string list = *ReadFile(Run("several") + "/disputed.jsonl", 1 << 24);
  EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), std::lround(disputed));
  EXPECT_THAT(list, HasSubstr("strict says NO_ANSWER"));

  // The same verifiers judge the same, and the reward is what it was.
  const ProgramResult again = RunPonder({"verify", "--on", Run("several"), "--json"});
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("\"disputed\":0"));
  EXPECT_THAT(again.output, HasSubstr(fmt::format("\"judged\":{}", kSteps * 48)));
  int64_t steps = 0;
  std::istringstream lines(again.output);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object() || row.value("kind", "") != "step") continue;
    EXPECT_EQ(row["reward_was"], row["reward_now"]);
    ++steps;
  }
  EXPECT_EQ(steps, kSteps);
  // A stricter one takes every CORRECT away.
  const ProgramResult strict =
      RunPonder({"verify", "--on", Run("several"), "--verifier", "math", "--disputed", "2",
                 "--curve", Run("several") + "/again.svg"});
  ASSERT_EQ(strict.exit_code, 0) << strict.output;
  EXPECT_THAT(strict.output, HasSubstr(fmt::format("disputed: {:.0f}, the first 2", correct)));
  EXPECT_THAT(strict.output, HasSubstr("now NO_ANSWER"));
  EXPECT_TRUE(fs::exists(Run("several") + "/again.svg"));
}

// Steps overlap, and tokens are at most `staleness` versions old.
void ExpectBoundedStaleness(const RunContent& content, double staleness) {
  double stalest = 0;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const Metrics& metrics = content.metrics.at({"train", step});
    EXPECT_EQ(metrics.at("exactness/logprob_max_abs_diff"), 0) << step;
    EXPECT_LE(metrics.at("staleness/max"), staleness) << step;
    EXPECT_GT(metrics.at("policy/importance_mean"), 0) << step;
    stalest = std::max(stalest, metrics.at("staleness/mean"));
  }
  EXPECT_GT(stalest, 0) << "nothing overlapped: the test says nothing";
}

TEST_F(TrainProgramTest, OverlappingStepsStayWithinTheirBoundAlsoWhenKilledAndResumed) {
  // Few places, so that answers of the next step are under way when a step ends.
  absl::StatusOr<ChildProcess> child =
      StartPonder(Train("overlapping", {"rollout.max_staleness=1", "rollout.max_sequences=20"}));
  ASSERT_TRUE(child.ok());
  bool said = false;
  for (;;) {
    const absl::StatusOr<std::string> line = child->ReadLine(absl::Seconds(60));
    ASSERT_TRUE(line.ok()) << line.status();
    said |= line->find("tokens of older policies weigh at most 2") != std::string::npos;
    if (line->find("step 3/6") != std::string::npos) break;
  }
  child->Kill();
  EXPECT_TRUE(said);
  const ProgramResult resumed = RunPonder(Resume("overlapping"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_THAT(*ReadFile(Run("overlapping") + "/config.toml", 1 << 16),
              HasSubstr("importance_cap = 2"));
  const RunContent content = ReadRun(Run("overlapping"));
  ExpectWhole(content);
  EXPECT_EQ(content.completions.size(), static_cast<size_t>(kSteps * 48 + 3 * 3 * 2));
  ExpectBoundedStaleness(content, 1);
}

TEST_F(TrainProgramTest, WorkersKeepOverlappingStepsWithinTheirBound) {
  absl::StatusOr<Learner> learner = StartLearner("remote", {"rollout.max_staleness=2"});
  ASSERT_TRUE(learner.ok()) << learner.status();
  const absl::StatusOr<ChildProcess> worker = StartPonder(Worker(learner->address));
  ASSERT_TRUE(worker.ok());
  absl::StatusOr<std::string> line = "";
  while (line.ok()) line = learner->process.ReadLine(absl::Seconds(60));
  EXPECT_TRUE(absl::IsUnavailable(line.status())) << line.status();
  const RunContent content = ReadRun(Run("remote"));
  ExpectWhole(content);
  EXPECT_EQ(content.completions.size(), static_cast<size_t>(kSteps * 48 + 3 * 3 * 2));
  ExpectBoundedStaleness(content, 2);
}

TEST_F(TrainProgramTest, WorkersInOtherProcessesGiveTheSameRunThoughOneIsKilled) {
  ASSERT_EQ(RunPonder(Train("undisturbed")).exit_code, 0);
  const RunContent expected = ReadRun(Run("undisturbed"));
  absl::StatusOr<Learner> learner = StartLearner("remote");
  ASSERT_TRUE(learner.ok()) << learner.status();
  absl::StatusOr<ChildProcess> first = StartPonder(Worker(learner->address));
  absl::StatusOr<ChildProcess> second = StartPonder(Worker(learner->address));
  ASSERT_TRUE(first.ok() && second.ok());
  for (;;) {
    const absl::StatusOr<std::string> line = learner->process.ReadLine(absl::Seconds(60));
    if (!line.ok()) {
      EXPECT_TRUE(absl::IsUnavailable(line.status())) << line.status();
      break;
    }
    if (line->find("step 2/6") != std::string::npos) first->Kill();
  }
  RunContent content = ReadRun(Run("remote"));
  RunContent local = expected;
  for (RunContent* run : {&content, &local}) {
    for (auto& [key, metrics] : run->metrics) {
      metrics.erase("rollout/reissued_leases");
      metrics.erase("rollout/workers");
    }
  }
  ExpectWhole(content);
  ExpectSameRun(content, local);
}

TEST_F(TrainProgramTest, AnInterruptKeepsWhatIsDoneAndSaysHowToGoOn) {
  ASSERT_EQ(RunPonder(Train("undisturbed")).exit_code, 0);
  const RunContent expected = ReadRun(Run("undisturbed"));
  absl::StatusOr<ChildProcess> child = StartPonder(Train("interrupted"));
  ASSERT_TRUE(child.ok());
  std::string output;
  for (;;) {
    const absl::StatusOr<std::string> line = child->ReadLine(absl::Seconds(60));
    if (!line.ok()) break;
    output += *line + "\n";
    if (line->find("step 3/6") != std::string::npos) kill(child->Pid(), SIGINT);
  }
  EXPECT_THAT(output, HasSubstr("go on with: ponder train --resume --run " + Run("interrupted")));
  ASSERT_EQ(RunPonder(Resume("interrupted")).exit_code, 0);
  ExpectSameRun(ReadRun(Run("interrupted")), expected);
}

}  // namespace
}  // namespace ponder
