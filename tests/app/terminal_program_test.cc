// What people type and see: runs, inspect, init, doctor, completion, and what is said to slips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/app/program.h"
#include "tests/app/stored_run.h"
#include "tests/app/tiny_model_directory.h"

namespace ponder {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class TerminalProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = TestFolder("terminal");
    WriteStoredRun(folder_ + "/first", 3, 3);
    WriteStoredRun(folder_ + "/second", 2, 4, "[rollout]\ntop_k = 7\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Said(const std::vector<std::string>& arguments, int exit_code = 0) {
    const ProgramResult result = RunPonder(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.output;
    return result.output;
  }

  std::string folder_;
};

TEST_F(TerminalProgramTest, ListsRuns) {
  const std::string table = Said({"runs", folder_});
  EXPECT_THAT(table, AllOf(StartsWith("RUN "), HasSubstr("finished  3/3   ▁▄█"),
                           HasSubstr("stopped   2/4"), HasSubstr("50.0 % [40, 60]")));
  const json line = json::parse(Said({"runs", folder_ + "/second", "--json"}));
  EXPECT_EQ(line["status"], "stopped");
  EXPECT_EQ(line["rewards"], json({0.1, 0.2}));
}

TEST_F(TerminalProgramTest, ComparesAndExports) {
  EXPECT_THAT(Said({"runs", "compare", folder_ + "/first", folder_ + "/second"}),
              AllOf(HasSubstr("rollout.top_k"), HasSubstr("reward/mean"), HasSubstr("greedy")));
  Said({"runs", "export", folder_ + "/first", "--out", folder_ + "/rows"});
  EXPECT_THAT(*ReadFile(folder_ + "/rows/metrics.csv"), StartsWith("phase,step,"));
  EXPECT_EQ(Said({"runs", "export", folder_ + "/first", "--format", "csv"}),
            *ReadFile(folder_ + "/rows/metrics.csv"));
  EXPECT_EQ(
      Said({"runs", "export", folder_ + "/first", "--format", "jsonl", "--rows", "completions"}),
      *ReadFile(folder_ + "/rows/completions.jsonl"));
  EXPECT_THAT(Said({"runs", "export", folder_ + "/first"}, 2), HasSubstr("--out"));
  EXPECT_THAT(
      Said({"runs", "export", folder_ + "/first", "--format", "csv", "--rows", "events"}, 2),
      HasSubstr("expected --format jsonl for events"));
}

TEST_F(TerminalProgramTest, ShowsSamplesThatCannotSteerTheTerminal) {
  const std::string run = folder_ + "/first";
  EXPECT_THAT(Said({"inspect", run, "--count", "2"}),
              AllOf(StartsWith("step 3 of train: 2 groups"), HasSubstr("what?[2J is it?"),
                    HasSubstr("other samples"), Not(HasSubstr("\033"))));
  // Of both groups in turn, each sample once.
  std::set<int64_t> samples;
  std::vector<std::string> tasks;
  std::istringstream lines(Said({"inspect", run, "--count", "5", "--json"}));
  for (std::string line; std::getline(lines, line);) {
    const json sample = json::parse(line);
    samples.insert(sample["sample"].get<int64_t>());
    tasks.push_back(sample["task"]["id"]);
  }
  EXPECT_EQ(samples.size(), 5);
  EXPECT_THAT(tasks, ElementsAre("task-3-0", "task-3-1", "task-3-0", "task-3-1", "task-3-0"));
  EXPECT_THAT(Said({"inspect", run, "--worst", "--count", "1"}), HasSubstr("reward     0 "));
  EXPECT_THAT(Said({"inspect", run, "--best", "--count", "1", "--step", "2"}),
              AllOf(HasSubstr("train step 2"), HasSubstr("reward     2 "), HasSubstr("--count")));
  EXPECT_THAT(Said({"inspect", run, "--task", "task-1-1", "--color", "always"}),
              AllOf(HasSubstr("train step 1, task task-1-1"), HasSubstr("\033[1m")));
  EXPECT_EQ(json::parse(Said({"inspect", run, "--sample", "5", "--json"}))["sample"], 5);
}

TEST_F(TerminalProgramTest, SaysWhatThereIsWhereSomethingIsNot) {
  const std::string run = folder_ + "/first";
  EXPECT_THAT(
      Said({"inspect", folder_ + "/fist"}, 1),
      HasSubstr("did you mean " + std::filesystem::path(run).lexically_normal().string() + "?"));
  EXPECT_THAT(Said({"inspect", run, "--step", "9"}, 1), HasSubstr("steps 1 to 3"));
  EXPECT_THAT(Said({"inspect", run, "--sample", "999"}, 1), HasSubstr("no sample 999"));
  EXPECT_THAT(Said({"inspect", run, "--phase", "trian"}, 1), HasSubstr("did you mean 'train'?"));
  EXPECT_THAT(Said({"inspect", run, "--status", "WRNG"}, 2), HasSubstr("did you mean 'WRONG'?"));
  EXPECT_THAT(Said({"inspect", run, "--status", "correct"}), HasSubstr("verdict    CORRECT"));
  EXPECT_THAT(Said({"inspect", run, "--step", "last"}, 2),
              HasSubstr("--step: expected a number, found 'last'"));
  EXPECT_THAT(Said({"inspect", run, "--task", "a\033[2J"}, 1),
              AllOf(HasSubstr("a?[2J"), Not(HasSubstr("\033"))));
  EXPECT_THAT(Said({"inspect", run, "--task", "nothing"}, 1), HasSubstr("no sample of task"));
  EXPECT_THAT(Said({"inspect", run, "--disputed"}, 1), HasSubstr("audit"));
  EXPECT_THAT(Said({"verify", "--verifier", "mth"}, 1), HasSubstr("did you mean \"math\"?"));
}

TEST_F(TerminalProgramTest, NamesTheNearestCommandOptionOrChoice) {
  EXPECT_THAT(Said({"trian", "x"}, 2),
              HasSubstr("ponder: no command 'trian'; did you mean 'train'?"));
  EXPECT_THAT(Said({"frobnicate"}, 2), Not(HasSubstr("did you mean")));
  EXPECT_THAT(Said({"train", "--sed", "run.seed=1"}, 2),
              HasSubstr("ponder train: no option --sed; did you mean '--set'?"));
  EXPECT_THAT(Said({"runs", "compar", "a", "b"}, 2), HasSubstr("`ponder runs compare`"));
  EXPECT_THAT(Said({"runs", "export", "x", "--format", "cvs"}, 2),
              HasSubstr("did you mean 'csv'?"));
  EXPECT_THAT(Said({"runs", "compare"}, 2), HasSubstr("`ponder runs compare --help`"));
}

TEST_F(TerminalProgramTest, InitWritesWhatTrainRuns) {
  const std::string model = folder_ + "/model", file = folder_ + "/my.toml";
  ASSERT_TRUE(WriteTinyModelDirectory(model).ok());
  const std::vector<std::string> init = {"init", "--model", model, "--output", file};
  EXPECT_THAT(Said(init), AllOf(HasSubstr("memory"), HasSubstr("ponder train " + file)));
  EXPECT_THAT(Said(init, 1), HasSubstr("--force"));
  EXPECT_THAT(Said({"init", "--model", model, "--output", folder_}, 1),
              HasSubstr("expected a file, found the folder"));
  EXPECT_THAT(Said({"init", "--model", model, "--output", folder_ + "/none/my.toml"}, 1),
              HasSubstr("there is no folder " + folder_ + "/none"));
  EXPECT_EQ(Said({"config", file, "--set", "run.steps=1"}).substr(0, 1), "#");
  EXPECT_THAT(
      Said({"train", file, "--run", folder_ + "/made", "--set", "run.steps=1", "--set",
            "sft.examples=2", "--set", "eval.tasks=0", "--set", "rollout.prompts_per_step=1"}),
      HasSubstr("done: 1 steps"));
  EXPECT_THAT(Said({"runs", folder_ + "/made"}), HasSubstr("finished  1/1"));
}

TEST_F(TerminalProgramTest, DoctorFindsItsWay) {
  std::string text = Said({"doctor", "--json"});
  std::set<std::string> names;
  for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
    const json finding = json::parse(text.substr(0, end));
    EXPECT_NE(finding["text"], "") << finding;
    names.insert(finding["name"]);
  }
  EXPECT_THAT(names, testing::IsSupersetOf({"cores", "instructions", "memory", "huge pages", "GPU",
                                            "sandbox", "disk", "learner", "versions"}));
}

// What bash would offer for the words, the last of which is being typed, in this test's folder.
class CompletionTest : public TerminalProgramTest {
 protected:
  void SetUp() override {
    TerminalProgramTest::SetUp();
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/bash", Said({"completion", "bash"})).ok());
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/some.toml", "").ok());
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/other.txt", "").ok());
  }
  std::string Offers(const std::string& words) {
    absl::StatusOr<ChildProcess> bash = ChildProcess::Start(
        {"bash", "-c",
         fmt::format(
             "cd '{}' && . ./bash && COMP_WORDS=({}) && COMP_CWORD=$((${{#COMP_WORDS[@]}} - "
             "1)) && _ponder; echo \"${{COMPREPLY[*]}}\"",
             folder_, words)});
    EXPECT_TRUE(bash.ok()) << bash.status();
    const absl::StatusOr<std::string> line = bash->ReadLine(absl::Seconds(30));
    EXPECT_TRUE(line.ok()) << line.status();
    return line.value_or("");
  }
};

TEST_F(CompletionTest, OffersWhatMayStandThere) {
  EXPECT_EQ(Offers("ponder tr"), "train");
  EXPECT_EQ(Offers("ponder runs com"), "compare");
  EXPECT_EQ(Offers("ponder runs export --f"), "--format");
  EXPECT_EQ(Offers("ponder runs export fi"), "first");
  EXPECT_EQ(Offers("ponder runs export first --format ''"), "csv jsonl");
  EXPECT_EQ(Offers("ponder inspect se"), "second");
  EXPECT_EQ(Offers("ponder train --run = fi"), "first");
  EXPECT_EQ(Offers("ponder train so"), "some.toml");
  EXPECT_EQ(Offers("ponder train --set rollout.temp"), "rollout.temperature=");
  EXPECT_EQ(Offers("ponder train --set tasks.kind = co"), "countdown");
  EXPECT_EQ(Offers("ponder generate --isa avx512_"), "avx512_bf16");
  EXPECT_EQ(Offers("ponder verify --verifier ma"), "math");
  EXPECT_EQ(Offers("ponder eval --out oth"), "other.txt");
  EXPECT_EQ(Offers("ponder nonsense"), "");
}

TEST_F(CompletionTest, TheScriptForZshNamesTheSameCommands) {
  const std::string script = Said({"completion", "zsh"});
  EXPECT_THAT(script, AllOf(StartsWith("#compdef ponder\n"), HasSubstr("'train:The whole loop"),
                            HasSubstr("\"runs compare\""), HasSubstr("rollout.temperature")));
}

}  // namespace
}  // namespace ponder
