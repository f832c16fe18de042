// The whole program on a tiny random model: runs, whose completions `ponder replay` makes again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "app/run_directory.h"
#include "base/file.h"
#include "kernels/cpu/cpu_isa.h"
#include "observe/blob_codec.h"
#include "observe/run_store.h"
#include "observe/sqlite.h"
#include "observe/terminal_text.h"
#include "tests/app/program.h"
#include "tests/app/tiny_run.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kSteps = 12;

std::vector<std::string> Checkpoints(const std::string& run) {
  std::vector<std::string> names;
  for (const CheckpointName& name : ListCheckpoints(run)) names.push_back(name.ToString());
  return names;
}

class ReplayTest : public TinyRunTest {
 protected:
  ReplayTest() : TinyRunTest(kSteps) {}

  // A learner with a worker for each list of options.
  void TrainWithWorkers(const std::string& name, const std::vector<std::string>& settings,
                        const std::vector<std::vector<std::string>>& workers) const {
    absl::StatusOr<Learner> learner = StartLearner(name, settings);
    ASSERT_TRUE(learner.ok()) << learner.status();
    std::vector<ChildProcess> children;
    for (const std::vector<std::string>& options : workers) {
      absl::StatusOr<ChildProcess> child = StartPonder(Worker(learner->address, options));
      ASSERT_TRUE(child.ok());
      children.push_back(*std::move(child));
    }
    absl::StatusOr<std::string> line = "";
    while (line.ok()) line = learner->process.ReadLine(absl::Seconds(60));
    ASSERT_TRUE(absl::IsUnavailable(line.status())) << line.status();
  }

  // Replays all samples of a run with no way but the one from the base model, over the place where
  // its settings changed.
  void ExpectTheSameFromTheBaseModel(const std::string& name) const {
    for (const std::string& checkpoint : Checkpoints(Run(name)))
      fs::remove_all(Run(name) + "/checkpoints/" + checkpoint);
    const ProgramResult replayed =
        RunPonder({"replay", Run(name), "--random", std::to_string(6 * 48)});
    EXPECT_EQ(replayed.exit_code, 0) << replayed.output;
    EXPECT_THAT(replayed.output, HasSubstr("288 samples of 6 steps: the same"));
  }

  // Samples of a phase and a step.
  std::vector<StoredCompletion> Samples(const std::string& name, const std::string& phase,
                                        int64_t step) const {
    absl::StatusOr<std::unique_ptr<RunStore>> store =
        RunStore::Open(Run(name) + "/run.db", RunStore::Mode::kRead);
    EXPECT_TRUE(store.ok()) << store.status();
    return *(*store)->ReadCompletions(phase, step);
  }

  // Writes other token ids into the store behind its back.
  void SetTokens(const std::string& name, int64_t sample, const std::vector<int32_t>& ids) const {
    const auto database =
        *SqliteDatabase::Open(Run(name) + "/run.db", SqliteDatabase::Access::kWrite);
    SqliteStatement update =
        *database->Prepare("UPDATE tokens SET token_ids = ? WHERE completion_id = ?");
    ASSERT_TRUE(update.Run(SqliteBlob{EncodeBlob<int32_t>(ids)}, sample).ok());
  }
};

// All of a replay's JSON lines; what it said comes along in `words`.
std::vector<nlohmann::json> Rows(const std::string& output, std::string* words = nullptr) {
  std::vector<nlohmann::json> rows;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (row.is_object()) {
      rows.push_back(row);
    } else if (words != nullptr) {
      *words += line + "\n";
    }
  }
  return rows;
}

TEST_F(ReplayTest, AHundredSamplesFromAllStepsComeOutTheSameFromPrunedCheckpoints) {
  // A reference policy that is renewed, and two updates a step, must come again as well.
  const ProgramResult trained = RunPonder(
      Train("run", {"run.checkpoint_every=5", "run.keep_checkpoints=3", "learner.kl_weight=0.01",
                    "learner.kl_reference_every=4", "learner.updates_per_step=2", "eval.every=6"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  // The oldest that is needed is gone.
  fs::remove_all(Run("run") + "/checkpoints/step-000010");
  fs::remove_all(Run("run") + "/checkpoints/sft-000004");
  ASSERT_THAT(Checkpoints(Run("run")), ElementsAre("step-000005", "step-000012"));

  const ProgramResult replayed =
      RunPonder({"replay", Run("run"), "--random", "100", "--seed", "3", "--json", "--verify"});
  ASSERT_EQ(replayed.exit_code, 0) << replayed.output;
  std::string words;
  const std::vector<nlohmann::json> rows = Rows(replayed.output, &words);
  EXPECT_THAT(
      words,
      AllOf(HasSubstr("learning updates 1 to 4 of the cold start and steps 1 to 4 again from "
                      "the base model; learning steps 6 to 11 again from checkpoint "
                      "step-000005"),
            HasSubstr(", then 100 samples\n")));
  EXPECT_THAT(
      words,
      AllOf(HasSubstr("sft-000004 learnt again, 4/14"), HasSubstr("step-000001 learnt again, 5/14"),
            HasSubstr("step-000011 learnt again, 14/14"), Not(HasSubstr("step-000000 learnt"))));
  EXPECT_THAT(words, HasSubstr("100 samples of 12 steps: the same, token for token"));
  ASSERT_EQ(rows.size(), 100u);
  std::set<int64_t> samples, steps;
  for (const nlohmann::json& row : rows) {
    EXPECT_TRUE(row["same"].get<bool>()) << row;
    EXPECT_EQ(row["verdict"]["was"]["status"], row["verdict"]["regenerated"]["status"]) << row;
    samples.insert(row["sample"].get<int64_t>());
    steps.insert(row["step"].get<int64_t>());
  }
  EXPECT_EQ(samples.size(), 100u);
  EXPECT_EQ(steps.size(), static_cast<size_t>(kSteps));

  // Evaluations: before the cold start, behind it, in the middle and at the end; greedy and
  // sampled.
  for (const char* phase : {"eval/untrained", "eval/train"}) {
    const ProgramResult evaluated =
        RunPonder({"replay", Run("run"), "--random", "30", "--phase", phase});
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
  }
}

TEST_F(ReplayTest, OneSampleIsShownAndADamagedCheckpointIsPassedOver) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=4"})).exit_code, 0);
  const StoredCompletion sample = Samples("run", "train", 4).at(17);
  const std::string state = Run("run") + "/checkpoints/step-000002/trainer_state.bin";
  std::string bytes = *ReadFile(state, 1 << 24);
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(state, bytes).ok());
  const ProgramResult replayed =
      RunPonder({"replay", Run("run"), std::to_string(sample.rowid), "--verify"});
  EXPECT_EQ(replayed.exit_code, 0) << replayed.output;
  EXPECT_THAT(replayed.output,
              AllOf(HasSubstr("learning step 3 again from checkpoint step-000002"),
                    HasSubstr("checkpoint step-000002 cannot be used"),
                    HasSubstr("learning steps 1 to 3 again from checkpoint step-000000"),
                    HasSubstr("tokens  the same"), HasSubstr(", as recorded"),
                    HasSubstr(WithoutControls(sample.completion.text))));
}

TEST_F(ReplayTest, SamplesOverWhichWeightsChangedComeOutTheSame) {
  const ProgramResult trained =
      RunPonder(Train("run", {"rollout.max_staleness=3", "rollout.max_sequences=20",
                              "run.checkpoint_every=5", "run.keep_checkpoints=2"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  size_t mixed = 0;
  for (int64_t step = 1; step <= kSteps; ++step) {
    for (const StoredCompletion& sample : Samples("run", "train", step))
      mixed += sample.completion.versions.size() > 1;
  }
  EXPECT_GT(mixed, 0u) << "weights changed under way of none: the test says nothing";
  // Every one of the run.
  const ProgramResult replayed =
      RunPonder({"replay", Run("run"), "--random", std::to_string(kSteps * 48)});
  EXPECT_EQ(replayed.exit_code, 0) << replayed.output;
  EXPECT_THAT(replayed.output,
              HasSubstr(fmt::format("{} samples of 12 steps: the same", kSteps * 48)));
  // No checkpoint is taken up that would divide what was under way, and that is known beforehand.
  int64_t learnt = 0, to_learn = 0;
  std::istringstream lines(replayed.output);
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find(" learnt again, ");
    if (at == std::string::npos) continue;
    ASSERT_EQ(std::sscanf(line.c_str() + at, " learnt again, %ld/%ld", &learnt, &to_learn), 2);
    EXPECT_LE(learnt, to_learn) << line;
  }
  EXPECT_EQ(learnt, to_learn);
}

TEST_F(ReplayTest, SamplesOfWorkersWithOtherBatchSizesComeOutTheSame) {
  for (const std::string staleness : {"0", "1"}) {
    const std::string name = "remote-" + staleness;
    TrainWithWorkers(name, {"rollout.max_staleness=" + staleness},
                     {{"--max-sequences", "3"}, {"--max-sequences", "25"}});
    const ProgramResult replayed = RunPonder({"replay", Run(name), "--random", "100"});
    EXPECT_EQ(replayed.exit_code, 0) << replayed.output;
    EXPECT_THAT(replayed.output, HasSubstr("100 samples of 12 steps: the same"));
  }
}

TEST_F(ReplayTest, StepsOfAWorkerOfOtherNumericsAreLearntAgainAsTheRunDid) {
  if (kernels::cpu::BestIsa() == kernels::CpuIsa::kPortable)
    GTEST_SKIP() << "this processor has no other instruction set than the portable one";
  TrainWithWorkers("run", {"run.steps=3"}, {{"--isa", "portable"}});
  fs::remove_all(Run("run") + "/checkpoints");
  const ProgramResult replayed = RunPonder({"replay", Run("run"), "--random", "20"});
  EXPECT_EQ(replayed.exit_code, 1) << replayed.output;
  EXPECT_THAT(
      replayed.output,
      AllOf(HasSubstr("a worker's numerics (cpu-portable"), HasSubstr("were not the learner's"),
            HasSubstr("and steps 1 to 2 again from the base model"),
            HasSubstr("why: a worker's numerics"), Not(HasSubstr("is not what the run learnt"))));
}

TEST_F(ReplayTest, SettingsThatChangedWhenTheRunWasResumedAreFollowed) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=3"})).exit_code, 0);
  const ProgramResult resumed =
      RunPonder({"train", "--resume", "--run", Run("run"), "--set", "run.steps=6", "--set",
                 "optimizer.learning_rate=5e-3", "--set", "rollout.max_new_tokens=9"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  ExpectTheSameFromTheBaseModel("run");
}

TEST_F(ReplayTest, StepsOfSeveralDevicesAreLearntAgainOnAsMany) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=3", "machine.device=cpu,cpu,cpu"})).exit_code, 0);
  const ProgramResult resumed = RunPonder({"train", "--resume", "--run", Run("run"), "--set",
                                           "run.steps=6", "--set", "machine.device=cpu,cpu"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  ExpectTheSameFromTheBaseModel("run");
}

TEST_F(ReplayTest, ATokenThatIsAnotherOneInTheStoreIsFoundAndItsPlaceIsTold) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=4", "run.checkpoint_every=100"})).exit_code, 0);
  // One with an advantage, so that the steps behind it learn from the flipped token.
  const std::vector<StoredCompletion> step = Samples("run", "train", 2);
  const auto sample = std::ranges::find_if(step, [](const StoredCompletion& one) {
    return one.advantage != 0 && one.completion.token_ids.size() > 5;
  });
  ASSERT_NE(sample, step.end());
  std::vector<int32_t> ids = sample->completion.token_ids;
  const int32_t was = ids[5];
  ids[5] = was == 65 ? 66 : 65;
  SetTokens("run", sample->rowid, ids);

  const std::string id = std::to_string(sample->rowid);
  const ProgramResult replayed = RunPonder({"replay", Run("run"), id, "--json"});
  EXPECT_EQ(replayed.exit_code, 1) << replayed.output;
  EXPECT_THAT(replayed.output, HasSubstr("1 of 1 samples is not what the run recorded"));
  const std::vector<nlohmann::json> rows = Rows(replayed.output);
  ASSERT_EQ(rows.size(), 1u) << replayed.output;
  const nlohmann::json& difference = rows[0]["difference"];
  EXPECT_EQ(difference["token"], 5);
  EXPECT_EQ(difference["expected"]["id"], ids[5]);
  EXPECT_EQ(difference["expected"]["text"], was == 65 ? "B" : "A");
  EXPECT_EQ(difference["found"]["id"], was);
  EXPECT_FALSE(difference.contains("logprob_token"));
  EXPECT_EQ(difference["logprob_max_abs_diff"], 0);

  const ProgramResult text = RunPonder({"replay", Run("run"), id});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.output, AllOf(HasSubstr(fmt::format("from token 5 on: expected {} \"", ids[5])),
                                 HasSubstr("log-probs up to there: the same to the last bit")));

  // What was learnt from it is not what the run learnt, and that is where it is looked for.
  const std::string later = std::to_string(Samples("run", "train", 4).at(0).rowid);
  const ProgramResult behind = RunPonder({"replay", Run("run"), later});
  EXPECT_EQ(behind.exit_code, 1) << behind.output;
  EXPECT_THAT(behind.output, AllOf(HasSubstr("step 2, learnt again, is not what the run learnt"),
                                   HasSubstr("from there on the weights are not the run's")));
  // Nor what comes from a checkpoint behind it, whatever else is wrong there.
  const StoredCompletion evaluated = Samples("run", "eval/train", 4).at(0);
  ids = evaluated.completion.token_ids;
  ids.back() = ids.back() == 65 ? 66 : 65;
  SetTokens("run", evaluated.rowid, ids);
  const ProgramResult both =
      RunPonder({"replay", Run("run"), later, std::to_string(evaluated.rowid), "--json"});
  EXPECT_EQ(both.exit_code, 1) << both.output;
  const std::vector<nlohmann::json> differing = Rows(both.output);
  ASSERT_EQ(differing.size(), 2u) << both.output;
  EXPECT_THAT(differing[0]["difference"]["likely_cause"].get<std::string>(),
              HasSubstr("step 2, learnt again"));
  EXPECT_EQ(differing[1]["phase"], "eval/train");
  EXPECT_FALSE(differing[1]["difference"].contains("likely_cause")) << differing[1];
  // A sample of before is not touched by it.
  const std::string earlier = std::to_string(Samples("run", "train", 1).at(0).rowid);
  EXPECT_EQ(RunPonder({"replay", Run("run"), earlier}).exit_code, 0);
}

TEST_F(ReplayTest, AWeightThatIsAnotherOneIsFound) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=2"})).exit_code, 0);
  for (const std::string& name : Checkpoints(Run("run")))
    fs::remove_all(Run("run") + "/checkpoints/" + name);
  fs::copy(folder_ + "/model", folder_ + "/other", fs::copy_options::recursive);
  std::string bytes = *ReadFile(folder_ + "/other/model.safetensors", 1 << 24);
  bytes[bytes.size() - 3] ^= 0x40;  // of the last float
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/other/model.safetensors", bytes).ok());
  const std::vector<std::string> command = {"replay", Run("run"), "--random", "40"};
  EXPECT_EQ(RunPonder(command).exit_code, 0);
  std::vector<std::string> other = command;
  other.insert(other.end(), {"--model", folder_ + "/other"});
  const ProgramResult replayed = RunPonder(other);
  EXPECT_EQ(replayed.exit_code, 1) << replayed.output;
  EXPECT_THAT(
      replayed.output,
      AllOf(HasSubstr("update 1 of the cold start, learnt again, is not what the run learnt"),
            HasSubstr("DIFFERS"), HasSubstr("why: update 1 of the cold start"),
            HasSubstr("other ones from token")));
}

TEST_F(ReplayTest, OtherNumericsAreSaidFirst) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=1"})).exit_code, 0);
  {
    const auto database =
        *SqliteDatabase::Open(Run("run") + "/run.db", SqliteDatabase::Access::kWrite);
    ASSERT_TRUE(
        database->Execute("UPDATE info SET value = 'cpu-other-r0' WHERE key = 'numerics'").ok());
  }
  const ProgramResult replayed = RunPonder({"replay", Run("run"), "--random", "2"});
  EXPECT_EQ(replayed.exit_code, 0) << replayed.output;  // the same machine after all
  EXPECT_THAT(replayed.output, HasSubstr("the run's numerics are cpu-other-r0, this machine's"));
}

TEST_F(ReplayTest, AVerdictThatIsAnotherOneIsFound) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=1"})).exit_code, 0);
  const StoredCompletion sample = Samples("run", "train", 1).at(3);
  {
    const auto database =
        *SqliteDatabase::Open(Run("run") + "/run.db", SqliteDatabase::Access::kWrite);
    ASSERT_TRUE(database
                    ->Execute(fmt::format("UPDATE completions SET status = 'TIMEOUT' WHERE id = {}",
                                          sample.rowid)
                                  .c_str())
                    .ok());
  }
  const std::string id = std::to_string(sample.rowid);
  EXPECT_EQ(RunPonder({"replay", Run("run"), id}).exit_code, 0);
  const ProgramResult judged = RunPonder({"replay", Run("run"), id, "--verify"});
  EXPECT_EQ(judged.exit_code, 1) << judged.output;
  EXPECT_THAT(judged.output, AllOf(HasSubstr("the same"), HasSubstr("was TIMEOUT"),
                                   HasSubstr("1 of 1 samples is judged otherwise than recorded")));
}

TEST_F(ReplayTest, ASampleThatCannotBeRegeneratedSaysWhyAndKeepsNoOtherFromIt) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=1", "eval.tasks=0"})).exit_code, 0);
  const std::vector<StoredCompletion> step = Samples("run", "train", 1);
  {
    const auto database =
        *SqliteDatabase::Open(Run("run") + "/run.db", SqliteDatabase::Access::kWrite);
    SqliteStatement update =
        *database->Prepare("UPDATE tokens SET sampled_mask = ? WHERE completion_id = ?");
    const std::vector<uint8_t> none(step[0].completion.token_ids.size(), 0);
    ASSERT_TRUE(update.Run(SqliteBlob{EncodeBlob<uint8_t>(none)}, step[0].rowid).ok());
  }
  std::vector<std::string> command = {"replay", Run("run"), std::to_string(step[0].rowid),
                                      std::to_string(step[1].rowid)};
  const ProgramResult text = RunPonder(command);
  EXPECT_EQ(text.exit_code, 1) << text.output;
  EXPECT_THAT(
      text.output,
      AllOf(HasSubstr("CANNOT BE REGENERATED\n  why: it has tokens that the model did not"),
            HasSubstr("tokens  the same"), HasSubstr("1 of 2 samples cannot be regenerated")));
  command.insert(command.end(), {"--json", "--verify"});
  const std::vector<nlohmann::json> rows = Rows(RunPonder(command).output);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows[0]["same"].is_null());
  EXPECT_THAT(rows[0]["impossible"].get<std::string>(), HasSubstr("did not sample"));
  EXPECT_EQ(rows[1]["same"], true);
}

TEST_F(ReplayTest, WhatIsNotThereIsSaid) {
  ASSERT_EQ(RunPonder(Train("run", {"run.steps=1", "eval.tasks=0"})).exit_code, 0);
  const ProgramResult unknown = RunPonder({"replay", Run("run"), "123456"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.output,
              AllOf(HasSubstr("has no sample 123456"), HasSubstr("`ponder inspect")));
  const ProgramResult phase =
      RunPonder({"replay", Run("run"), "--random", "1", "--phase", "eval/train"});
  EXPECT_EQ(phase.exit_code, 1);
  EXPECT_THAT(phase.output,
              HasSubstr("the run has no steps of phase 'eval/train'; it has sft, train"));
  const ProgramResult run = RunPonder({"replay", folder_ + "/rum", "1"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output,
              HasSubstr("did you mean " + fs::path(Run("run")).lexically_normal().string() + "?"));
  EXPECT_EQ(RunPonder({"replay", Run("run")}).exit_code, 2);
  EXPECT_EQ(RunPonder({"replay", Run("run"), "1", "--random", "2"}).exit_code, 2);
}

}  // namespace
}  // namespace ponder
