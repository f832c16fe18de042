#include "verifiers/verifier.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>

#include <stdexcept>

#include "verifiers/built_in.h"

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Verdict JudgeOne(const std::string& name, const Task& task, const std::string& completion,
                 const std::string& extraction = "strict") {
  auto verifier = CreateVerifier(name, {.extraction = extraction}).value();
  const VerifyItem item{task, completion};
  return verifier->Verify({&item, 1}, absl::InfiniteFuture()).value()[0];
}

Verdict Math(const std::string& gold, const std::string& completion,
             const std::string& extraction = "strict") {
  return JudgeOne("math", {.gold = gold}, completion, extraction);
}

TEST(MathVerifier, GivesEachStatusWhereItBelongs) {
  const Verdict correct = Math("1,234", "1230 + 4 = \\boxed{1234}");
  EXPECT_EQ(correct.status, VerdictStatus::kCorrect);
  EXPECT_EQ(correct.score, 1);
  EXPECT_EQ(correct.extracted, "1234");
  EXPECT_EQ(correct.parts.at("format"), 1);

  const Verdict wrong = Math("1234", "so \\boxed{1235}");
  EXPECT_EQ(wrong.status, VerdictStatus::kWrong);
  EXPECT_EQ(wrong.score, 0);
  EXPECT_EQ(wrong.parts.at("format"), 1);

  const Verdict none = Math("7", "I think it is 7");
  EXPECT_EQ(none.status, VerdictStatus::kNoAnswer);
  EXPECT_EQ(none.parts.at("format"), 0);

  const Verdict unparseable = Math("7", "so \\boxed{7 +* 2}");
  EXPECT_EQ(unparseable.status, VerdictStatus::kUnparseable);
  EXPECT_EQ(unparseable.extracted, "7 +* 2");
  EXPECT_EQ(unparseable.parts.at("format"), 0);

  EXPECT_EQ(Math("x +* 1", "\\boxed{7}").status, VerdictStatus::kInvalidGold);
  EXPECT_EQ(Math("", "\\boxed{7}").status, VerdictStatus::kInvalidGold);
  EXPECT_EQ(Math("\\boxed{}", "").status, VerdictStatus::kInvalidGold);
}

TEST(MathVerifier, APhraseCountsAsAnAnswerButNotAsTheForm) {
  const Verdict verdict = Math("7", "The final answer is 7 apples.");
  EXPECT_EQ(verdict.status, VerdictStatus::kCorrect);
  EXPECT_EQ(verdict.parts.at("format"), 0);
}

TEST(MathVerifier, GoldsMayBeMarked) {
  EXPECT_EQ(Math("steps\n#### 72", "\\boxed{72}").status, VerdictStatus::kCorrect);
  EXPECT_EQ(Math("\\boxed{72}", "\\boxed{72}").status, VerdictStatus::kCorrect);
  EXPECT_EQ(Math("$\\frac{1}{2}$", "\\boxed{0.5}").status, VerdictStatus::kCorrect);
}

TEST(MathVerifier, StrictNeverFallsBackFromAFailedForm) {
  for (const std::string completion :
       {"\\boxed{} The final answer is 7", "The answer is 7. \\boxed{",
        "7 <answer>seven</answer> 7", "\\boxed{5} or \\boxed{7}", "\\boxed{5 \\text{ or } 7}",
        "\\boxed{5=7}", "\\boxed{1, 2, 3, 7}"}) {
    const VerdictStatus status = Math("7", completion).status;
    EXPECT_TRUE(status == VerdictStatus::kUnparseable || status == VerdictStatus::kWrong)
        << completion << " " << ToString(status);
  }
  EXPECT_EQ(Math("7", "<think>\\boxed{7}").status, VerdictStatus::kNoAnswer);
}

TEST(MathVerifier, AnywhereAlsoTakesTheLastNumber) {
  EXPECT_EQ(Math("7", "3 + 4 = 7", "strict").status, VerdictStatus::kNoAnswer);
  const Verdict verdict = Math("7", "3 + 4 = 7.", "anywhere");
  EXPECT_EQ(verdict.status, VerdictStatus::kCorrect);
  EXPECT_EQ(verdict.parts.at("format"), 0);
  EXPECT_EQ(Math("7", "adding them gives $x$ as 7 apples", "anywhere").extracted, "7");
  EXPECT_EQ(Math("7", "it is 7, so \\boxed{}", "anywhere").status, VerdictStatus::kCorrect);
  EXPECT_EQ(Math("7", "\\boxed{5} and not 7", "anywhere").status, VerdictStatus::kWrong);
  EXPECT_EQ(Math("7", "seven", "anywhere").status, VerdictStatus::kWrong);
  EXPECT_EQ(Math("7", "", "anywhere").status, VerdictStatus::kNoAnswer);
}

// Each of these has to be answered at once; the limit leaves room for a loaded machine, while
// anything quadratic would take minutes.
TEST(MathVerifier, AnswersHostileTextsAtOnce) {
  const auto repeat = [](const std::string& text, int count) {
    std::string result;
    for (int i = 0; i < count; ++i) result += text;
    return result;
  };
  const std::vector<std::string> texts = {
      std::string(4'000'000, 'a'),
      std::string(4'000'000, '#'),
      std::string(4'000'000, '\\'),
      std::string(4'000'000, '\n'),
      std::string(4'000'000, '9'),
      "\\boxed{" + std::string(4'000'000, '9') + "}",
      "\\boxed{" + std::string(10'000, '{') + "7" + std::string(10'000, '}') + "}",
      "\\boxed" + std::string(2'000'000, '{'),
      repeat("\\boxed{", 300'000),
      repeat("\\boxed{1}", 300'000),
      repeat("\\boxedx", 300'000),
      repeat("\\fbox", 300'000),
      repeat("#### x ", 300'000),
      repeat("answer is ", 300'000),
      repeat("answer is" + std::string(70, '\n'), 30'000),
      repeat("answer: \n", 300'000),
      repeat("<answer>", 300'000),
      repeat("</answer><answer>", 200'000),
      repeat("<think>", 300'000),
      repeat("</think>", 300'000),
      "\\boxed{" + repeat("\\frac{1}{", 100'000) + "}",
      "\\boxed{" + repeat("\\text{", 30'000) + "7" + repeat("}", 30'000) + "}",
      "\\boxed{" + repeat("-", 1'000'000) + "7}",
      "\\boxed{" + repeat("1,", 90'000) + "}",
      "\\boxed{9e9999}",
      "\\boxed{9^{9^{9^{9}}}}",
      "\\boxed{((10^9)!)!}",
  };
  for (const std::string& text : texts) {
    const absl::Time start = absl::Now();
    const Verdict verdict = Math("7", text);
    const absl::Duration taken = absl::Now() - start;
    EXPECT_LT(taken, absl::Seconds(2)) << text.substr(0, 30);
    EXPECT_NE(verdict.status, VerdictStatus::kInternal) << text.substr(0, 30);
    EXPECT_LE(verdict.extracted.size(), 200);
  }
}

TEST(MathVerifier, CutsWhatItExtractedBetweenCharacters) {
  std::string content = "a";
  for (int i = 0; i < 100; ++i) content += "\u00E9\u00E9";
  const Verdict verdict = Math("7", "\\boxed{" + content + "}");
  EXPECT_EQ(verdict.extracted.size(), 199);
  EXPECT_TRUE(verdict.extracted.ends_with("\u00E9"));
}

Verdict Countdown(const std::string& completion,
                  const std::string& data = R"({"numbers":[3,7,12],"target":43})") {
  return JudgeOne("countdown", {.kind = "countdown", .data = data}, completion);
}

TEST(CountdownVerifier, TakesExpressionsThatMakeTheTarget) {
  const std::string data = R"({"numbers":[2,3,4,5],"target":14})";
  for (const std::string expression :
       {"2*(3+4)", "2 * ( 3 + 4 )", "2*(3+4) = 14", "$2 \\times (3 + 4)$", "2 \u00D7 (3+4)",
        "4+5*2", "2\\cdot\\left(3+4\\right)", "(3+4)*2.", "-2*-(3+4)", "4*5-2*3", "5*4-(2*3)",
        "(5*4-2*3)"}) {
    const Verdict verdict = Countdown("so \\boxed{" + expression + "}", data);
    EXPECT_EQ(verdict.status, VerdictStatus::kCorrect) << expression << ": " << verdict.reason;
    EXPECT_EQ(verdict.parts.at("format"), 1);
  }
}

TEST(CountdownVerifier, ComputesExactly) {
  // 8 / (3 - 8/3) = 24 needs thirds; a number given twice may be used twice.
  EXPECT_EQ(Countdown("\\boxed{8/(3-8/3)}", R"({"numbers":[3,3,8,8],"target":24})").status,
            VerdictStatus::kCorrect);
  EXPECT_EQ(Countdown("\\boxed{(2-3)*4}", R"({"numbers":[2,3,4],"target":-4})").status,
            VerdictStatus::kCorrect);
  EXPECT_EQ(Countdown("\\boxed{12/5*5-0}", R"({"numbers":[0,5,5,12],"target":12})").status,
            VerdictStatus::kCorrect);
}

TEST(CountdownVerifier, SaysWhyAnExpressionIsWrong) {
  const std::string data = R"({"numbers":[3,7,12],"target":43})";
  const auto reason = [&](const std::string& expression) {
    const Verdict verdict = Countdown("<think>.</think><answer>" + expression + "</answer>", data);
    EXPECT_EQ(verdict.status, VerdictStatus::kWrong) << expression;
    EXPECT_EQ(verdict.parts.at("format"), 1) << expression;
    return verdict.reason;
  };
  EXPECT_EQ(Countdown("<answer>12*3+7</answer>", data).status, VerdictStatus::kCorrect);
  EXPECT_EQ(reason("12*3"), "the expression makes 36, not 43");
  EXPECT_EQ(reason("12/7"), "the expression makes 12/7, not 43");
  EXPECT_EQ(reason("3*7+3"), "3 is used more often than given");
  EXPECT_EQ(reason("43"), "43 is not one of the numbers given");
  EXPECT_EQ(reason("99999999999999999999999 - 3"),
            "99999999999999999999999 is not one of the numbers given");
  EXPECT_EQ(reason("12/(7-7+3)"), "7 is used more often than given");
  EXPECT_EQ(reason("12*3+7 = 44"), "the answer claims 44, not 43");
  EXPECT_EQ(Countdown("\\boxed{3/(7-7)}", R"({"numbers":[3,7,7],"target":3})").reason,
            "the expression divides by zero");
}

TEST(CountdownVerifier, ReadsNothingButArithmetic) {
  for (const std::string expression :
       {"",          "x",     "12**3", "2^3",   "12//3", "3!",   "sqrt(9)", "1 2",
        "(3+7",      "3+7)",  "3+",    "*3",    "()",    "3(7)", "3,7",     "__import__('os')",
        "3+7 == 10", "3+7=x", "0x3",   "3.0+7", "1e1",   "3;7",  "3+7\x01", "\\frac{12}{3}",
        "+3"}) {
    const Verdict verdict = Countdown("\\boxed{" + expression + "}");
    EXPECT_EQ(verdict.status, VerdictStatus::kUnparseable) << expression;
    EXPECT_EQ(verdict.parts.at("format"), 0);
  }
  EXPECT_EQ(Countdown("12*3+7").status, VerdictStatus::kNoAnswer);
  EXPECT_EQ(Countdown("\\boxed{" + std::string(65, '(') + "3" + std::string(65, ')') + "}").status,
            VerdictStatus::kUnparseable);
  EXPECT_EQ(Countdown("\\boxed{" + std::string(64, '(') + "3" + std::string(64, ')') + "}").status,
            VerdictStatus::kWrong);
  EXPECT_EQ(Countdown("\\boxed{" + std::string(1'000'000, '(') + "}").status,
            VerdictStatus::kUnparseable);
  EXPECT_EQ(Countdown("\\boxed{" + std::string(4'000, '-') + "3}").status, VerdictStatus::kWrong);
}

TEST(CountdownVerifier, ATaskWithoutNumbersIsAtFault) {
  for (const std::string data :
       {"", "{", "[]", "{}", R"({"numbers":[],"target":1})", R"({"numbers":[1]})",
        R"({"numbers":"1","target":1})", R"({"numbers":[1.5],"target":1})",
        R"({"numbers":[1],"target":"1"})", R"({"numbers":[null],"target":1})"}) {
    EXPECT_EQ(Countdown("\\boxed{1}", data).status, VerdictStatus::kInvalidGold) << data;
  }
  const std::string deep(100'000, '[');
  EXPECT_EQ(Countdown("\\boxed{1}", deep).status, VerdictStatus::kInvalidGold);
}

TEST(AutoVerifier, PicksByTheTasksKind) {
  EXPECT_EQ(JudgeOne("auto", {.kind = "math", .gold = "7"}, "\\boxed{7}").status,
            VerdictStatus::kCorrect);
  EXPECT_EQ(JudgeOne("auto", {.kind = "countdown", .data = R"({"numbers":[3,4],"target":7})"},
                     "\\boxed{3+4}")
                .status,
            VerdictStatus::kCorrect);
  const Verdict unknown = JudgeOne("auto", {.kind = "poem", .gold = "7"}, "\\boxed{7}");
  EXPECT_EQ(unknown.status, VerdictStatus::kInvalidGold);
  EXPECT_THAT(unknown.reason, HasSubstr("\"poem\"; known are math, countdown, text"));
}

TEST(BuiltInVerifier, GivesOneVerdictAnItemInOrder) {
  auto verifier = CreateVerifier("math").value();
  std::vector<VerifyItem> batch;
  for (int i = 0; i < 100; ++i) batch.push_back({{.gold = "50"}, fmt::format("\\boxed{{{}}}", i)});
  const auto verdicts = verifier->Verify(batch, absl::Now() + absl::Minutes(5)).value();
  ASSERT_EQ(verdicts.size(), 100);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(verdicts[i].extracted, std::to_string(i));
    EXPECT_EQ(verdicts[i].status == VerdictStatus::kCorrect, i == 50);
  }
  EXPECT_TRUE(verifier->Verify({}, absl::InfiniteFuture()).value().empty());
}

TEST(BuiltInVerifier, ItemsBeyondTheDeadlineAreInternal) {
  auto verifier = CreateVerifier("math").value();
  const std::vector<VerifyItem> batch(3, {{.gold = "7"}, "\\boxed{7}"});
  const auto verdicts = verifier->Verify(batch, absl::InfinitePast()).value();
  ASSERT_EQ(verdicts.size(), 3);
  for (const Verdict& verdict : verdicts) {
    EXPECT_EQ(verdict.status, VerdictStatus::kInternal);
    EXPECT_THAT(verdict.reason, HasSubstr("deadline"));
  }
}

class ThrowingJudge : public ItemJudge {
 public:
  std::string Name() const override { return "throwing"; }
  std::vector<std::string> TaskKinds() const override { return {}; }
  Verdict Judge(const VerifyItem& item) const override {
    if (item.completion == "std") throw std::runtime_error("out of luck");
    throw 5;
  }
};

TEST(BuiltInVerifier, AnExceptionIsAnInternalVerdict) {
  auto verifier = CreateBuiltInVerifier(std::make_unique<ThrowingJudge>());
  const std::vector<VerifyItem> batch = {{{}, "std"}, {{}, "other"}};
  const auto verdicts = verifier->Verify(batch, absl::InfiniteFuture()).value();
  EXPECT_EQ(verdicts[0].status, VerdictStatus::kInternal);
  EXPECT_THAT(verdicts[0].reason, HasSubstr("out of luck"));
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kInternal);
}

TEST(BuiltInVerifier, RefusesACompletionBeyondItsLimit) {
  auto verifier = CreateVerifier("math").value();
  const VerifyItem item{{.gold = "7"},
                        std::string(verifier->Describe().max_completion_bytes + 1, ' ')};
  const auto verdicts = verifier->Verify({&item, 1}, absl::InfiniteFuture()).value();
  EXPECT_EQ(verdicts[0].status, VerdictStatus::kUnparseable);
}

TEST(CreateVerifier, NamesTheKnownOnes) {
  EXPECT_THAT(std::string(CreateVerifier("maths").status().message()),
              AllOf(HasSubstr("\"maths\""),
                    HasSubstr("\"auto\", \"code\", \"countdown\", \"math\", \"text\"")));
  EXPECT_THAT(std::string(CreateVerifier("math", {.extraction = "loose"}).status().message()),
              HasSubstr("\"strict\" or \"anywhere\""));
  EXPECT_EQ(CreateVerifier("auto").value()->Describe().name, "auto");
}

TEST(TextVerifier, ComparesTheMarkedAnswerLetterByLetter) {
  const auto judge = [](const std::string& gold, const std::string& completion) {
    return JudgeOne("text", {.kind = "text", .gold = gold}, completion);
  };
  EXPECT_EQ(judge(" Blue\twhale", "It is \\boxed{blue  Whale }").status, VerdictStatus::kCorrect);
  EXPECT_EQ(judge("blue whale", "It is \\boxed{bluewhale}").status, VerdictStatus::kWrong);
  EXPECT_EQ(judge("blue whale", "the answer is blue whale").status, VerdictStatus::kCorrect);
  EXPECT_EQ(judge("1/2", "\\boxed{0.5}").status, VerdictStatus::kWrong);
  EXPECT_EQ(judge("blue", "blue").status, VerdictStatus::kNoAnswer);
  EXPECT_EQ(judge("blue", "\\boxed{blue").status, VerdictStatus::kUnparseable);
  EXPECT_EQ(judge(" \n", "\\boxed{blue}").status, VerdictStatus::kInvalidGold);
  EXPECT_EQ(JudgeOne("auto", {.kind = "text", .gold = "a"}, "\\boxed{A}").status,
            VerdictStatus::kCorrect);
}

}  // namespace
}  // namespace ponder
