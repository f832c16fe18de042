// The Python package (python/ponder_verifier) and the example that docs/verifiers/python.md
// explains, where Python has grpcio.
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/child_process.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

class PythonVerifier : public ::testing::Test {
 protected:
  void SetUp() override {
    // scripts/bootstrap puts grpcio there; one that python3 has itself serves as well.
    setenv("PYTHONPATH", PONDER_PYTHON_PATH, /*overwrite=*/1);
    if (!RunProcess({"python3", "-c", "import grpc"}).ok()) {
      GTEST_SKIP() << "python3 with grpcio was not found; run ./scripts/bootstrap";
    }
  }

  // Connects to the service that a program says it is.
  std::unique_ptr<Verifier> Start(const std::vector<std::string>& arguments) {
    absl::StatusOr<ChildProcess> child = ChildProcess::Start(arguments);
    EXPECT_TRUE(child.ok()) << child.status();
    child_.emplace(*std::move(child));
    const absl::StatusOr<std::string> line = child_->ReadLine(kLong);
    const std::string said = "listening on ";
    EXPECT_TRUE(line.ok() && line->starts_with(said)) << line.status();
    return ConnectVerifier({.address = line.value_or(said).substr(said.size())});
  }

  std::optional<ChildProcess> child_;
};

TEST_F(PythonVerifier, TheExampleJudgesAsTheDocumentationSays) {
  const auto verifier = Start({"python3", PONDER_PYTHON_VERIFIER, "0"});
  const std::vector<VerifyItem> items = {{{.kind = "math", .gold = "1,000"}, "about \\boxed{1005}"},
                                         {{.kind = "math", .gold = "1000"}, "about \\boxed{1,050}"},
                                         {{.kind = "math", .gold = "1000"}, "about \\boxed{2000}"},
                                         {{.kind = "math", .gold = "1000"}, "about 1000"},
                                         {{.kind = "math", .gold = "1000"}, "about \\boxed{many}"},
                                         {{.kind = "math", .gold = "x"}, "\\boxed{1}"}};
  const auto verdicts = verifier->Verify(items, absl::Now() + kLong);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ(verifier->Describe().name, "close_enough");
  EXPECT_EQ(verifier->Describe().task_kinds, std::vector<std::string>{"math"});
  const VerdictStatus statuses[] = {VerdictStatus::kCorrect,     VerdictStatus::kWrong,
                                    VerdictStatus::kWrong,       VerdictStatus::kNoAnswer,
                                    VerdictStatus::kUnparseable, VerdictStatus::kInvalidGold};
  const double scores[] = {1, 0.5, 0, 0, 0, 0};
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ((*verdicts)[i].status, statuses[i]) << i;
    EXPECT_EQ((*verdicts)[i].score, scores[i]) << i;
  }
  EXPECT_EQ((*verdicts)[1].extracted, "1,050");
  EXPECT_EQ((*verdicts)[1].parts.at("format"), 1);
}

TEST_F(PythonVerifier, AnyJudgeGivesVerdictsAndItsExceptionsAreInternal) {
  const auto verifier = Start({"python3", "-c",
                               "from ponder_verifier import *\n"
                               "def judge(task, completion):\n"
                               "    return eval(completion)\n"
                               "serve(judge, listen='127.0.0.1:0', max_batch=3)\n"});
  const std::pair<std::string, Verdict> cases[] = {
      {"True", {.status = VerdictStatus::kCorrect, .score = 1}},
      {"False", {.status = VerdictStatus::kWrong}},
      {"0.25", {.status = VerdictStatus::kWrong, .score = 0.25}},
      {"1", {.status = VerdictStatus::kCorrect, .score = 1}},
      {"Verdict(Status.CORRECT)", {.status = VerdictStatus::kCorrect, .score = 1}},
      {"Verdict(Status.TIMEOUT, parts={'a': 1, 'b': -2.5}, reason=task.gold)",
       {.status = VerdictStatus::kTimeout, .parts = {{"a", 1}, {"b", -2.5}}, .reason = "gölden"}},
      {"1 / 0", {.status = VerdictStatus::kInternal, .reason = "ZeroDivisionError: division"}},
      {"'yes'", {.status = VerdictStatus::kInternal, .reason = "the judge returned str"}},
      {"Verdict(7, parts={'a': 'b'})", {.status = VerdictStatus::kInternal, .reason = "Error"}},
      {"2.0", {.status = VerdictStatus::kInternal, .reason = "a score outside 0 to 1"}},
      {"float('nan')", {.status = VerdictStatus::kInternal, .reason = "a score outside"}},
  };
  std::vector<VerifyItem> items;
  for (const auto& [completion, expected] : cases)
    items.push_back({{.gold = "gölden"}, completion});
  const auto verdicts = verifier->Verify(items, absl::Now() + kLong);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  for (size_t i = 0; i < items.size(); ++i) {
    const Verdict& expected = cases[i].second;
    const Verdict& found = (*verdicts)[i];
    EXPECT_EQ(found.status, expected.status) << items[i].completion << ": " << found.reason;
    EXPECT_EQ(found.score, expected.score) << items[i].completion;
    EXPECT_EQ(found.parts, expected.parts) << items[i].completion;
    EXPECT_THAT(found.reason, HasSubstr(expected.reason)) << items[i].completion;
  }
}

TEST_F(PythonVerifier, ReadsDamagedMessagesWithoutHarm) {
  EXPECT_TRUE(RunProcess({"python3", PONDER_PYTHON_TESTS "/wire_test.py"}).ok());
}

}  // namespace
}  // namespace ponder
