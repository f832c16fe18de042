// What the program says to wrong input: exit status and a message that names what was expected and
// found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "tests/app/program.h"
#include "tests/app/tiny_model_directory.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class BadInputTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = TestFolder("bad");
    model_ = folder_ + "/model";
    ASSERT_TRUE(WriteTinyModelDirectory(model_).ok());
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/" + name, content).ok());
    return folder_ + "/" + name;
  }
  std::string Config(const std::string& more) {
    return Write("run.toml",
                 fmt::format("[model]\ndirectory = \"{}\"\n[chat]\ntemplate = \"chatml\"\n{}",
                             model_, more));
  }
  ProgramResult Train(const std::string& config) {
    return RunPonder({"train", config, "--run", folder_ + "/run"});
  }

  std::string folder_, model_;
};

TEST_F(BadInputTest, WrongUseExitsWithTwo) {
  EXPECT_EQ(RunPonder({}).exit_code, 2);
  EXPECT_EQ(RunPonder({"frobnicate"}).exit_code, 2);
  EXPECT_EQ(RunPonder({"score"}).exit_code, 2);
  EXPECT_EQ(RunPonder({"generate", "--model", model_, "--temperature", "-1"}).exit_code, 2);
  EXPECT_EQ(RunPonder({"--help"}).exit_code, 0);
}

TEST_F(BadInputTest, AnUnknownKeyNamesTheNearestOne) {
  const ProgramResult result = Train(Config("[rollout]\ntemperatur = 1.0\n"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, AllOf(HasSubstr("temperatur"), HasSubstr("rollout.temperature")));
  EXPECT_FALSE(fs::exists(folder_ + "/run"));
}

TEST_F(BadInputTest, AWrongTypeNamesKeyAndLine) {
  const ProgramResult result = Train(Config("[run]\nsteps = \"many\"\n"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, AllOf(HasSubstr("run.steps"), HasSubstr("run.toml")));
}

TEST_F(BadInputTest, AMissingModelIsNamed) {
  const ProgramResult result =
      Train(Write("run.toml", "[model]\ndirectory = \"/nowhere/model\"\n"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("/nowhere/model"));
}

TEST_F(BadInputTest, ATruncatedModelFileIsAnErrorThatNamesIt) {
  fs::resize_file(model_ + "/model.safetensors",
                  fs::file_size(model_ + "/model.safetensors") - 100);
  const ProgramResult result = RunPonder({"score", "--model", model_}, "{\"ids\":[1,2]}\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("model.safetensors"));
}

TEST_F(BadInputTest, ATensorOfTheWrongShapeIsNamed) {
  std::string config = *ReadFile(model_ + "/config.json");
  const size_t at = config.find("48", config.find("intermediate_size"));
  ASSERT_NE(at, std::string::npos);
  config.replace(at, 2, "64");
  ASSERT_TRUE(WriteFileAtomically(model_ + "/config.json", config).ok());
  const ProgramResult result = RunPonder({"score", "--model", model_}, "{\"ids\":[1,2]}\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, AllOf(HasSubstr("mlp"), HasSubstr("64"), HasSubstr("48")));
}

TEST_F(BadInputTest, AMalformedTaskLineIsNamedByItsNumber) {
  const std::string tasks =
      Write("tasks.jsonl", "{\"question\":\"a\",\"answer\":\"1\"}\n{\"question\":\n");
  const ProgramResult result =
      Train(Config(fmt::format("[tasks]\nkind = \"file\"\n[tasks.file]\npath = \"{}\"\n", tasks)));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("tasks.jsonl:2"));
}

TEST_F(BadInputTest, APortInUseIsNamed) {
  absl::StatusOr<ChildProcess> first =
      StartPonder({"verifier", "--name", "math", "--listen", "127.0.0.1:0"});
  ASSERT_TRUE(first.ok());
  const absl::StatusOr<std::string> line = first->ReadLine(absl::Seconds(30));
  ASSERT_TRUE(line.ok()) << line.status();
  const std::string address = line->substr(line->rfind(' ') + 1);
  const ProgramResult second = RunPonder({"verifier", "--name", "math", "--listen", address});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.output, HasSubstr(address));
}

TEST_F(BadInputTest, AnUnreachableVerifierEndsTheRunAndScoresNothing) {
  // Port 1 of loopback: nobody listens there.
  const ProgramResult result =
      Train(Config("[verifier]\naddress = \"127.0.0.1:1\"\nmax_retries = 0\ndeadline_s = "
                   "0.5\n[rollout]\nprompts_per_step = 2\n"
                   "completions_per_prompt = 2\nmax_new_tokens = 4\n[eval]\ntasks = "
                   "0\n[prompt]\ntemplate = \"boxed\"\n"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("127.0.0.1:1"));
}

TEST_F(BadInputTest, ARunIsNeverBegunOverAnother) {
  const std::string config = Config(
      "[run]\nsteps = 1\n[eval]\ntasks = 0\n[rollout]\nprompts_per_step = "
      "1\ncompletions_per_prompt = 2\nmax_new_tokens = 2\n");
  ASSERT_EQ(Train(config).exit_code, 0);
  const ProgramResult again = Train(config);
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.output, HasSubstr("already holds a run"));
  EXPECT_THAT(RunPonder({"train", "--resume", "--run", folder_ + "/other"}).output,
              HasSubstr("holds no run"));
}

TEST_F(BadInputTest, APlanThatDoesNotFitIsRefusedBeforeAnythingIsTaken) {
  const ProgramResult result = Train(Config("[machine]\nmemory_gib = 0.001\n"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("machine.memory_gib"), HasSubstr("micro_batch_tokens")));
}

TEST_F(BadInputTest, BrokenJsonLinesAreNamedByTheirNumber) {
  EXPECT_THAT(RunPonder({"score", "--model", model_}, "{\"ids\":[1,2]}\n{\"ids\":").output,
              HasSubstr("line 2"));
  EXPECT_THAT(RunPonder({"tokenize", "--model", model_}, "{}\n").output, HasSubstr("line 1"));
  EXPECT_THAT(RunPonder({"score", "--model", model_}, "{\"ids\":[1,99999]}\n").output,
              HasSubstr("99999"));
  EXPECT_THAT(RunPonder({"verify"}, "{\"id\":1}\n").output, HasSubstr("line 1"));
  EXPECT_THAT(RunPonder({"generate", "--model", model_}, "{\"id\":1}\n").output,
              HasSubstr("line 1"));
}

}  // namespace
}  // namespace ponder
