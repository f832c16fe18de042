#include "app/starter_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "app/run_memory.h"
#include "app/task_fields.h"
#include "base/file.h"
#include "tests/app/tiny_model_directory.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;

class StarterConfigTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(WriteTinyModelDirectory(Model()).ok()); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Model() const { return folder_ + "/model"; }
  // A file of `rows` copies of a line, with N replaced by the line's number.
  std::string Tasks(const std::string& line, int rows = 40) {
    std::string text;
    for (int i = 0; i < rows; ++i) {
      std::string row = line;
      for (size_t at; (at = row.find('N')) != std::string::npos;) {
        row.replace(at, 1, std::to_string(i));
      }
      text += row + "\n";
    }
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/tasks.jsonl", text).ok());
    return folder_ + "/tasks.jsonl";
  }
  absl::StatusOr<StarterConfig> Make(const std::string& task, int64_t memory = kGib) {
    return MakeStarterConfig({.model = Model(), .task = task, .memory_bytes = memory, .cores = 2});
  }

  const std::string folder_ = FreshDirectory();
};

TEST_F(StarterConfigTest, WhatItWritesIsReadBack) {
  for (const std::string task : {"arithmetic", "countdown"}) {
    const auto starter = Make(task);
    ASSERT_TRUE(starter.ok()) << starter.status();
    const std::string text = DumpChosenKeys(starter->config, starter->why);
    const auto parsed = ParseConfig(text, "text");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    // A key that was set and not written would differ.
    EXPECT_EQ(DumpConfig(*parsed), DumpConfig(starter->config));
    EXPECT_THAT(text,
                AllOf(HasSubstr("# kind: a generator"), HasSubstr("kind = \"" + task + "\"")));
  }
}

TEST_F(StarterConfigTest, FitsTheMemoryItMayTake) {
  const auto roomy = Make("arithmetic");
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_FALSE(roomy->config.learner.recompute_layers);
  const ModelConfig model = *LoadModelConfig(Model());
  const int64_t taken = TotalBytes(*PlanRunMemory(roomy->config, model));
  const auto tight = Make("arithmetic", taken - 1);
  ASSERT_TRUE(tight.ok()) << tight.status();
  EXPECT_TRUE(tight->config.learner.recompute_layers);
  EXPECT_LT(TotalBytes(*PlanRunMemory(tight->config, model)), taken);
  EXPECT_THAT(Make("arithmetic", 1 << 20).status().message(), HasSubstr("smaller model"));
}

TEST_F(StarterConfigTest, KeepsAnswersWithinTheModelsPositions) {
  const auto starter = Make(Tasks(R"({"question":"N?","answer":"N"})"));
  ASSERT_TRUE(starter.ok()) << starter.status();
  EXPECT_LT(starter->config.rollout.max_new_tokens, 512);  // the model's positions
  EXPECT_GT(starter->config.rollout.max_new_tokens, 300);
  EXPECT_EQ(starter->config.prompt.template_name, "plain");  // it has no chat template
}

TEST_F(StarterConfigTest, ProgramsAreJudgedByTheirTestsAndNoAnswerIsNamed) {
  const auto starter =
      Make(Tasks(R"({"task_id":"h/N","prompt":"def fN():","test":"pass","entry_point":"fN"})", 60));
  ASSERT_TRUE(starter.ok()) << starter.status();
  EXPECT_FALSE(starter->why.contains("tasks.file.gold_field"));
  EXPECT_THAT(starter->said, testing::Contains(HasSubstr("code has tests instead")));
  EXPECT_EQ(starter->config.prompt.template_name, "code");
}

TEST_F(StarterConfigTest, SaysWhereAFileIsTooSmall) {
  EXPECT_THAT(Make(Tasks(R"({"question":"N?","answer":"N"})", 1)).status().message(),
              HasSubstr("at least 2 tasks to train on"));
  const auto starter = Make(Tasks(R"({"question":"1+N?","answer":"N"})", 5));
  ASSERT_TRUE(starter.ok()) << starter.status();
  EXPECT_EQ(starter->config.eval.tasks, 0);
  EXPECT_THAT(starter->said, testing::Contains(HasSubstr("held out   none")));
}

TEST_F(StarterConfigTest, NamesTheNearestTaskAndTheWayToAModel) {
  EXPECT_THAT(Make("arithmetik").status().message(), HasSubstr("did you mean 'arithmetic'?"));
  EXPECT_THAT(MakeStarterConfig({.model = folder_ + "/none"}).status().message(),
              HasSubstr("download-sample"));
}

TEST_F(StarterConfigTest, RecognisesGsm8k) {
  const auto fields =
      DetectTaskFields(Tasks(R"({"question":"N and 1?","answer":"N + 1\n#### 1N"})"));
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_EQ(fields->keys.question_field, "question");
  EXPECT_EQ(fields->keys.gold_after, "####");
  EXPECT_EQ(fields->keys.solution_field, "answer");
  EXPECT_EQ(fields->keys.verifier, "math");
}

TEST_F(StarterConfigTest, RecognisesOtherFiles) {
  auto fields = DetectTaskFields(
      Tasks(R"({"problem":"x = N?","solution":"\\boxed{N}","answer":"N","unique_id":"uN"})"));
  EXPECT_EQ(fields->keys.question_field, "problem");
  EXPECT_EQ(fields->keys.gold_field, "answer");
  EXPECT_EQ(fields->keys.solution_field, "solution");
  EXPECT_EQ(fields->keys.id_field, "unique_id");
  fields = DetectTaskFields(Tasks(R"({"prompt":"city N?","gold":"the city of light","id":1})"));
  EXPECT_EQ(fields->keys.verifier, "text");
  EXPECT_EQ(fields->keys.id_field, "");  // not unique
  fields = DetectTaskFields(
      Tasks(R"({"task_id":"h/N","prompt":"def f():","test":"pass","entry_point":"f"})"));
  EXPECT_EQ(fields->keys.verifier, "code");
}

TEST_F(StarterConfigTest, SaysWhichFieldsAFileHas) {
  EXPECT_THAT(DetectTaskFields(Tasks(R"({"q":"a","answer":"1"})")).status().message(),
              AllOf(HasSubstr("question, problem"), HasSubstr("found answer, q")));
  EXPECT_THAT(DetectTaskFields(Tasks(R"({"question":"a"})")).status().message(),
              HasSubstr("answer, gold"));
  EXPECT_THAT(DetectTaskFields(Tasks("[1]")).status().message(), HasSubstr("tasks.jsonl:1"));
  EXPECT_THAT(DetectTaskFields(folder_ + "/none").status().message(), HasSubstr("none"));
}

}  // namespace
}  // namespace ponder
