#include "tasks/task_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TempFile {
 public:
  explicit TempFile(const std::string& content)
      : path_(fmt::format("{}tasks-{}-{}.jsonl", testing::TempDir(), getpid(),
                          testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  const std::string& Path() const { return path_; }

 private:
  std::string path_;
};

std::string ManyLines(int count) {
  std::string content;
  for (int i = 0; i < count; ++i) {
    content += fmt::format("{{\"question\": \"Q{0}\", \"answer\": \"{0}\"}}\n", i);
  }
  return content;
}

std::vector<std::string> Golds(const std::vector<Task>& tasks) {
  std::vector<std::string> golds;
  for (const Task& task : tasks) golds.push_back(task.gold);
  return golds;
}

const TaskSourceOptions kGsm8k{.kind = "file", .gold_after = "####"};

TEST(TaskFile, ReadsTheFormOfGsm8k) {
  const std::string line =
      R"({"question": "A shop sold 48 clips, then half as many. How many?", )"
      R"("answer": "It sold 48/2 = <<48/2=24>>24 clips.\nTogether 48+24 = <<48+24=72>>72.\n#### 1,072"})";
  const auto tasks = ParseTaskLines(line, "data/gsm8k.jsonl", kGsm8k);
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  ASSERT_EQ(tasks->size(), 1);
  const Task& task = (*tasks)[0];
  EXPECT_EQ(task.id, "gsm8k-1");
  EXPECT_EQ(task.source, "gsm8k");
  EXPECT_EQ(task.kind, "math");
  EXPECT_EQ(task.question, "A shop sold 48 clips, then half as many. How many?");
  EXPECT_EQ(task.gold, "1,072");
  EXPECT_EQ(task.solution, "It sold 48/2 = 24 clips.\nTogether 48+24 = 72.");
}

TEST(TaskFile, MapsFieldsAndTakesNumbers) {
  const TaskSourceOptions options{.kind = "file",
                                  .question_field = "problem",
                                  .gold_field = "result",
                                  .id_field = "uid",
                                  .solution_field = "steps",
                                  .verifier = "countdown"};
  const std::string content =
      "\xEF\xBB\xBF{\"problem\":\"P\",\"result\":12,\"uid\":7,\"steps\":\"s\",\"extra\":[1]}\r\n"
      "\n   \n"
      "{\"problem\":\"Q\",\"result\":-0.5,\"uid\":\"x\",\"steps\":\"\",\"data\":{\"target\": 3, "
      "\"numbers\": [1, 2]}}";
  const auto tasks = ParseTaskLines(content, "f.jsonl", options);
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  ASSERT_EQ(tasks->size(), 2);
  EXPECT_EQ((*tasks)[0], (Task{.id = "7",
                               .kind = "countdown",
                               .source = "f",
                               .question = "P",
                               .gold = "12",
                               .solution = "s"}));
  EXPECT_EQ((*tasks)[1].gold, "-0.5");
  EXPECT_EQ((*tasks)[1].data, R"({"target":3,"numbers":[1,2]})");
}

struct BadLine {
  std::string line;
  std::string expected;
};

TEST(TaskFile, ARowOfCodeIsItsDataAndNeedsNoGold) {
  const std::string human_eval =
      R"({"task_id": "HumanEval/7", "prompt": "def f(x):\n", "entry_point": "f", "test": "t"})";
  const TaskSourceOptions options{
      .question_field = "prompt", .gold_field = "", .id_field = "task_id", .verifier = "code"};
  const std::vector<Task> tasks = ParseTaskLines(human_eval + "\n", "code.jsonl", options).value();
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].id, "HumanEval/7");
  EXPECT_EQ(tasks[0].kind, "code");
  EXPECT_EQ(tasks[0].question, "def f(x):\n");
  EXPECT_EQ(tasks[0].gold, "");
  EXPECT_EQ(tasks[0].data, human_eval);
  // A field of its own comes first, and other kinds have no such rule.
  const auto parse = [](const std::string& line, const std::string& verifier) {
    return ParseTaskLines(line, "x.jsonl", {.verifier = verifier});
  };
  EXPECT_EQ((*parse(R"({"question": "q", "data": {"tests": []}})", "code"))[0].data,
            R"({"tests":[]})");
  EXPECT_FALSE(parse(R"({"question": "q"})", "math").ok());
  EXPECT_EQ((*parse(R"({"question": "q", "answer": "1"})", "math"))[0].data, "");
  EXPECT_THAT(
      std::string(
          parse(R"({"question": "q", "tests": [265252859812191058636308480000000]})", "code")
              .status()
              .message()),
      HasSubstr("64 bits"));
}

TEST(TaskFile, EveryMalformedLineIsNamedWithWhatWasExpected) {
  const std::string good = "{\"question\": \"Q\", \"answer\": \"steps #### 5\"}\n";
  const BadLine cases[] = {
      {"not json", "expected one JSON object, found \"not json\""},
      {"[1, 2]", "expected one JSON object, found \"[1, 2]\""},
      {"\"text\"", "expected one JSON object"},
      {"{\"question\": \"Q\"", "expected one JSON object"},
      {"{} {}", "expected one JSON object"},
      {"{\"question\": \"\xff\", \"answer\": \"#### 1\"}", "expected one JSON object"},
      {"{}", "expected a field \"question\", found an empty object"},
      {"{\"Question\": \"Q\", \"answer\": \"#### 5\"}",
       "expected a field \"question\", found \"Question\", \"answer\""},
      {"{\"question\": [\"Q\"], \"answer\": \"#### 5\"}",
       "expected a string or a number in field \"question\", found an array"},
      {"{\"question\": \"Q\", \"answer\": null}",
       "expected a string or a number in field \"answer\", found null"},
      {"{\"question\": \"Q\", \"answer\": \"5\"}", "expected \"####\" before the gold answer"},
      {"{\"question\": \"Q\", \"answer\": \"steps #### \"}", "expected a gold answer"},
      {"{\"question\": \" \", \"answer\": \"#### 5\"}", "expected a question"},
      {"{\"question\": \"Q\", \"answer\": \"#### 5\", \"data\": 3}",
       "expected an object or a string in field \"data\""},
  };
  for (const BadLine& bad : cases) {
    const auto tasks =
        ParseTaskLines(good + "\n" + bad.line + "\n" + good, "some/tasks.jsonl", kGsm8k);
    EXPECT_EQ(tasks.status().code(), absl::StatusCode::kInvalidArgument) << bad.line;
    EXPECT_THAT(std::string(tasks.status().message()),
                AllOf(HasSubstr("some/tasks.jsonl:3: "), HasSubstr(bad.expected)))
        << bad.line;
  }
}

TEST(TaskFile, RefusesAnIdThatComesTwice) {
  TaskSourceOptions options{.kind = "file", .id_field = "id"};
  const std::string line = "{\"question\": \"Q\", \"answer\": 1, \"id\": \"a\"}\n";
  EXPECT_THAT(
      std::string(ParseTaskLines(line + line, "t.jsonl", options).status().message()),
      HasSubstr("t.jsonl:2: expected an id of its own, found \"a\", which line 1 has already"));
}

TEST(TaskFile, ALineDeepInBracketsIsAnErrorNotACrash) {
  const std::string deep = "{\"question\": " + std::string(100000, '[');
  EXPECT_FALSE(ParseTaskLines(deep, "t.jsonl", kGsm8k).ok());
}

TEST(TaskFile, AnEpochHasEachTaskOnceInAnOrderOfItsOwn) {
  const TempFile file(ManyLines(10));
  const TaskSourceOptions options{.kind = "file", .path = file.Path(), .held_out_share = 0};
  auto source = CreateTaskSource(options).value();
  EXPECT_EQ(source->Size(), 10);
  std::vector<std::vector<std::string>> epochs(2);
  for (int64_t step = 0; step < 4; ++step) {
    for (const std::string& gold : Golds(source->TasksFor(step, 5).value())) {
      epochs[step / 2].push_back(gold);
    }
  }
  for (const auto& epoch : epochs) {
    EXPECT_EQ(std::set<std::string>(epoch.begin(), epoch.end()).size(), 10);
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST(TaskFile, AStepIsAPureFunctionOfSeedAndStepAndHasNoTaskTwice) {
  const TempFile file(ManyLines(10));
  TaskSourceOptions options{.kind = "file", .path = file.Path(), .held_out_share = 0};
  auto source = CreateTaskSource(options).value();
  // 4 does not divide 10: the third step of 4 belongs to the next epoch.
  std::vector<std::vector<Task>> steps;
  for (int64_t step = 0; step < 6; ++step) steps.push_back(source->TasksFor(step, 4).value());
  for (int64_t step = 5; step >= 0; --step) {
    auto fresh = CreateTaskSource(options).value();
    EXPECT_EQ(fresh->TasksFor(step, 4).value(), steps[step]);
    const auto golds = Golds(steps[step]);
    EXPECT_EQ(std::set<std::string>(golds.begin(), golds.end()).size(), 4);
  }
  options.seed = 2;
  EXPECT_NE(CreateTaskSource(options).value()->TasksFor(0, 4).value(), steps[0]);
}

TEST(TaskFile, TheSplitsShareNothingAndLoseNothing) {
  const TempFile file(ManyLines(200));
  TaskSourceOptions options{.kind = "file", .path = file.Path()};
  std::set<std::string> all;
  int64_t total = 0;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    options.split = split;
    auto source = CreateTaskSource(options).value();
    total += source->Size();
    for (const std::string& gold : Golds(source->TasksFor(0, source->Size()).value())) {
      all.insert(gold);
    }
  }
  EXPECT_EQ(total, 200);
  EXPECT_EQ(all.size(), 200);
}

TEST(TaskFile, AStepLargerThanTheFileIsRefused) {
  const TempFile file(ManyLines(3));
  const TaskSourceOptions options{.kind = "file", .path = file.Path(), .held_out_share = 0};
  auto source = CreateTaskSource(options).value();
  EXPECT_EQ(source->TasksFor(0, 3).value().size(), 3);
  const absl::Status status = source->TasksFor(0, 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("3 of 3 tasks"), HasSubstr("wants 4")));
}

TEST(TaskFile, AMissingFileAndAnEmptySplitSaySo) {
  TaskSourceOptions options{.kind = "file", .path = testing::TempDir() + "no-such-tasks.jsonl"};
  EXPECT_THAT(std::string(CreateTaskSource(options).status().message()),
              HasSubstr("no-such-tasks.jsonl"));
  const TempFile file(ManyLines(3));
  options = {.kind = "file", .path = file.Path(), .split = Split::kHeldOut, .held_out_share = 0};
  EXPECT_THAT(std::string(CreateTaskSource(options).status().message()),
              AllOf(HasSubstr("0 of 3 tasks"), HasSubstr("held_out_share is 0")));
}

}  // namespace
}  // namespace ponder
