// `ponder verify` as people and programs call it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/app/program.h"

namespace ponder {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kRight[] = R"({"id":"r","gold":5,"completion":"so \\boxed{5}"})";
constexpr char kWrong[] = R"({"gold":"6","completion":"so \\boxed{5}"})";

TEST(VerifyProgramTest, AnswersLinesWithTheirIdsAndSumsUp) {
  const ProgramResult result = RunPonder({"verify"}, std::string(kRight) + "\n\n" + kWrong + "\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, HasSubstr(R"("id":"r")"));
  EXPECT_THAT(result.output, HasSubstr(R"("id":3)"));  // the line's number where it has no id
  EXPECT_THAT(result.output, HasSubstr("1 CORRECT, 1 WRONG, p50"));
}

TEST(VerifyProgramTest, AnswersWhatCameBeforeABrokenLineAndNamesIt) {
  const ProgramResult result =
      RunPonder({"verify"}, std::string(kRight) + "\n{\"id\":2}\n" + kWrong + "\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("CORRECT"));
  EXPECT_THAT(result.output, HasSubstr("line 2 of standard input: expected"));
  EXPECT_THAT(result.output, Not(HasSubstr("WRONG")));
}

TEST(VerifyProgramTest, AnswersEachLineAsItComesSoThatItCanBeACommandVerifier) {
  absl::StatusOr<ChildProcess> child = StartPonder({"verify"});
  ASSERT_TRUE(child.ok()) << child.status();
  for (int i = 0; i < 3; ++i) {
    const std::string line = std::string(kRight) + "\n";
    std::string_view input = line;
    const absl::StatusOr<std::string> answer =
        child->Converse(input, absl::Now() + absl::Seconds(60));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_THAT(*answer, HasSubstr("CORRECT"));
  }
  const ProgramResult chained = RunPonder(
      {"verify", "--command", PONDER_PROGRAM " verify --verifier math"}, std::string(kRight));
  EXPECT_EQ(chained.exit_code, 0);
  EXPECT_THAT(chained.output, HasSubstr("1 CORRECT"));
}

TEST(VerifyProgramTest, SaysWhatIsWrongWithTheChoiceOfAVerifier) {
  EXPECT_THAT(RunPonder({"verify", "--plugin", "a.so", "--command", "b"}).output,
              HasSubstr("found 2 of them"));
  EXPECT_THAT(RunPonder({"verify", "--plugin", "a.so", "--set", "units=match"}).output,
              HasSubstr("--set is for built-in verifiers"));
  EXPECT_THAT(RunPonder({"verify", "--plugin", "a.so"}).output, HasSubstr("./a.so"));
  EXPECT_THAT(RunPonder({"verify", "--on", "/no/run"}).output, HasSubstr("holds no run"));
  EXPECT_EQ(RunPonder({"verify", "--disputed", "3"}).exit_code, 2);
}

TEST(VerifyProgramTest, NumbersKeepAllTheirDigits) {
  // One off in the last of 33 digits, which no floating-point number can tell.
  const auto judge = [](const std::string& value) {
    return RunPonder({"verify", "--verifier", "code", "--set", "allow_weak_sandbox=true"},
                     R"({"task":{"data":{"entry_point":"f","tests":[{"args":[],"expected":)"
                     "265252859812191058636308480000000"
                     R"(}]}},"completion":"```python\ndef f():\n    return )" +
                         value + R"(\n```"})");
  };
  const ProgramResult right = judge("265252859812191058636308480000000");
  if (right.exit_code != 0) GTEST_SKIP() << "no sandbox on this machine: " << right.output;
  EXPECT_THAT(right.output, HasSubstr("1 CORRECT"));
  EXPECT_THAT(judge("265252859812191058636308480000001").output, HasSubstr("1 WRONG"));
}

TEST(VerifyProgramTest, APluginIsServedOverGrpc) {
  absl::StatusOr<ChildProcess> server =
      StartPonder({"verifier", "--plugin", PONDER_EXAMPLE_PLUGIN, "--listen", "127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  const absl::StatusOr<std::string> line = server->ReadLine(absl::Seconds(60));
  ASSERT_TRUE(line.ok() && line->starts_with("listening on ")) << line.status();
  const ProgramResult result = RunPonder({"verify", "--address", line->substr(13)},
                                         R"({"gold":"4","completion":"Answer: 4"})");
  EXPECT_THAT(result.output, HasSubstr("1 CORRECT"));
}

}  // namespace
}  // namespace ponder
