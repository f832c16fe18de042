#include "verifiers/code/code_verifier.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/verifiers/sandbox_support.h"
#include "verifiers/verifier.h"

namespace ponder {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CodeVerifierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto verifier = CreateCodeVerifier(SmallLimits());
    if (!verifier.ok()) GTEST_SKIP() << "no sandbox on this machine: " << verifier.status();
    verifier_ = std::move(*verifier);
  }

  Verdict Judge(const json& data, const std::string& code, const std::string& label = "python") {
    return JudgeCode(*verifier_, CodeItem(data.dump(), code, label));
  }
  // By assert lines.
  Verdict Mbpp(const std::vector<std::string>& tests, const std::string& code) {
    return Judge({{"test_list", tests}}, code);
  }

  std::unique_ptr<Verifier> verifier_;
};

#define EXPECT_VERDICT(verdict, expected, part)                                           \
  do {                                                                                    \
    const Verdict found = (verdict);                                                      \
    EXPECT_EQ(ToString(found.status), ToString(VerdictStatus::expected)) << found.reason; \
    EXPECT_THAT(found.reason, HasSubstr(part));                                           \
  } while (false)

TEST_F(CodeVerifierTest, JudgesAssertLines) {
  const Verdict right = Mbpp({"assert f(2) == 4", "assert f(3) == 9"}, "def f(x):\n  return x * x");
  EXPECT_EQ(right.status, VerdictStatus::kCorrect) << right.reason;
  EXPECT_EQ(right.score, 1);
  EXPECT_EQ(right.parts.at("format"), 1);
  EXPECT_EQ(right.extracted, "def f(x):\n  return x * x\n");
  const Verdict wrong = Mbpp({"assert f(2) == 4", "assert f(3) == 9"}, "def f(x):\n  return x + 2");
  EXPECT_EQ(wrong.status, VerdictStatus::kWrong);
  EXPECT_EQ(wrong.score, 0);
  EXPECT_THAT(wrong.reason, AllOf(HasSubstr("test 2 of 2"), HasSubstr("f(3) gave 5")));
  EXPECT_VERDICT(Mbpp({"assert f(2) == 4"}, "def g(x):\n  return x"), kWrong, "defines no f");
  EXPECT_VERDICT(Mbpp({"assert f(2) == 4"}, "def f(x):\n  return 1 / 0"), kWrong,
                 "raised ZeroDivisionError");
  EXPECT_VERDICT(Mbpp({"assert f(2) == 4"}, "def f(x)\n  return 4"), kUnparseable, "SyntaxError");
  EXPECT_VERDICT(Mbpp({"assert f(2) == 4"}, "import nonsense"), kWrong, "ModuleNotFoundError");
}

TEST_F(CodeVerifierTest, TellsKindsOfValuesApart) {
  const auto gives = [&](const std::string& value, const std::string& expected) {
    const Verdict verdict =
        Mbpp({"assert repr(f()) == " + json(expected).dump()}, "def f():\n  return " + value);
    EXPECT_EQ(verdict.status, VerdictStatus::kCorrect) << value << ": " << verdict.reason;
  };
  for (const std::string value :
       {"None", "True", "-5", "123456789012345678901234567890", "0.1", "nan", "-inf", "(1+2j)",
        "'\\udc80ü\\x00'", "b'\\x00\\xff'", "[1, [2.5, (3,)], {}]", "{'a': [1], (2, 3): None}",
        "{1}", "frozenset({2})", "()", "-0.0"}) {
    gives(value == "nan" || value == "-inf" ? "float('" + value + "')" : value, value);
  }
  // The dictionaries of the library come as plain ones.
  gives("__import__('collections').Counter('aab')", "{'a': 2, 'b': 1}");
}

TEST_F(CodeVerifierTest, JudgesHumanEval) {
  const json data = {
      {"prompt",
       "import math\n\ndef half(x):\n    return x / 2\n\ndef f(x: float) -> float:\n"
       "    \"\"\"Half of x.\"\"\"\n"},
      {"entry_point", "f"},
      {"test",
       "METADATA = {}\n\ndef check(candidate):\n    assert abs(candidate(3.0) - 1.5) < 1e-6\n"
       "    for x in range(10):\n        assert candidate(x) == half(x), 'x'\n"}};
  EXPECT_VERDICT(Judge(data, "    return half(x)"), kCorrect, "2 tests");
  EXPECT_VERDICT(Judge(data, "return math.fabs(x) / 2"), kCorrect, "");
  EXPECT_VERDICT(Judge(data, "def f(x):\n    return x * 0.5"), kCorrect, "");
  EXPECT_VERDICT(Judge(data, "def f(x):\n    return 1.5"), kWrong, "test 2 of 2");
  // The prompt's own functions count in the tests, not the answer's.
  EXPECT_VERDICT(
      Judge(data, "def half(x):\n    return 0\ndef f(x):\n    return 1.5 if x == 3.0 else 0"),
      kWrong, "test 2 of 2");
}

TEST_F(CodeVerifierTest, JudgesCallsWithJson) {
  const json data = {
      {"entry_point", "f"},
      {"tests",
       {{{"args", {1, {2, 3}}}, {"expected", {1, 2, 3}}},
        {{"args", {0.1}}, {"kwargs", {{"rest", json::array()}}}, {"expected", {0.1}}},
        {{"args", {json()}}, {"expected", {{"a", true}}}}}}};
  const std::string code =
      "def f(a, rest=None):\n  if a is None:\n    return {'a': True}\n  return (a, *rest)";
  EXPECT_VERDICT(Judge(data, code), kCorrect, "3 tests");
  EXPECT_VERDICT(Judge(data, code + "\n_f = f\ndef f(*a, **k):\n  v = _f(*a, **k)\n"
                                    "  return {'a': 1} if v == {'a': True} else v"),
                 kWrong, "test 3 of 3");
}

TEST_F(CodeVerifierTest, JudgesProgramsByWhatTheyPrint) {
  const json data = {
      {"tests",
       {{{"input", "2 3\n"}, {"output", "5\n"}}, {{"input", "10\n20\n"}, {"output", "30"}}}}};
  const std::string sum = "import sys\nprint(sum(map(int, sys.stdin.read().split())))";
  EXPECT_VERDICT(Judge(data, sum), kCorrect, "2 tests");
  EXPECT_VERDICT(Judge(data, sum + "\nprint()\nsys.exit(3)"), kCorrect, "");
  EXPECT_VERDICT(Judge(data, "if __name__ == '__main__':\n  print(int(input()) + 1)"), kWrong,
                 "test 1 of 2: line 1 is '', expected '5'");
  EXPECT_VERDICT(Judge(data, "print(5)"), kWrong, "test 2 of 2: line 1 is '5', expected '30'");
  EXPECT_VERDICT(Judge(data, "print(5"), kUnparseable, "SyntaxError");
  EXPECT_VERDICT(Judge(data, "while True: pass"), kTimeout, "test 1 of 2");
  EXPECT_VERDICT(Judge(data, "while True: print(5)"), kWrong, "more than 256 KiB");
  EXPECT_VERDICT(
      Judge(data, "import threading\nthreading.Timer(0.05, " + json(sum).dump() +
                      " and (lambda: print(sum(map(int, open(0).read().split()))))).start()"),
      kCorrect, "");
}

TEST_F(CodeVerifierTest, JudgesCpp) {
  const json data = {
      {"language", "cpp"},
      {"tests",
       {{{"input", "2 3\n"}, {"output", "5\n"}}, {{"input", "1 1\n"}, {"output", "2\n"}}}}};
  const std::string code =
      "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a OP b << "
      "'\\n'; }";
  const auto with = [&](const std::string& op) {
    return std::string(code).replace(code.find("OP"), 2, op);
  };
  EXPECT_VERDICT(Judge(data, with("+"), "cpp"), kCorrect, "2 tests");
  EXPECT_VERDICT(Judge(data, with("*"), "cpp"), kWrong, "test 1 of 2: line 1 is '6', expected '5'");
  EXPECT_VERDICT(Judge(data, with("<<+ ;"), "cpp"), kUnparseable, "compiling: compiler: main.cc");
  EXPECT_VERDICT(Judge(data, "int main() { return *(volatile int*)8; }", "cpp"), kWrong,
                 "signal 11");
}

TEST_F(CodeVerifierTest, SaysWhenThereIsNoCode) {
  const std::string data = R"({"test_list":["assert f(2) == 4"]})";
  const auto judge = [&](const std::string& text) {
    return JudgeCode(*verifier_, {{.kind = "code", .data = data}, text});
  };
  EXPECT_VERDICT(judge("def f(x): return 4"), kNoAnswer, "no block ```python");
  EXPECT_VERDICT(judge("```python\ndef f(x): return 4"), kUnparseable, "never closed");
  EXPECT_VERDICT(judge("```python\ndef f(x): return 4\n```\n```python\nf = abs\n```"), kWrong, "");
  EXPECT_VERDICT(judge("```python\n" + std::string(2'000'000, ' ') + "\n```"), kUnparseable,
                 "2000001 bytes");
  EXPECT_VERDICT(judge("```python\nf = '\xff'\n```"), kUnparseable, "");
  EXPECT_VERDICT(judge("```python\nf = '" + std::string("\0", 1) + "'\n```"), kUnparseable, "null");
}

TEST_F(CodeVerifierTest, NamesBrokenTests) {
  const std::string code = "def f(x):\n  return x";
  EXPECT_VERDICT(Mbpp({"assert f(2) =="}, code), kInvalidGold, "cannot be parsed");
  EXPECT_VERDICT(Mbpp({"f(2)"}, code), kInvalidGold, "assert nothing");
  EXPECT_VERDICT(Mbpp({"assert 1 == 1"}, code), kInvalidGold, "no function");
  EXPECT_VERDICT(Mbpp({"import nonsense", "assert f(2) == 2"}, code), kInvalidGold, "nonsense");
  EXPECT_VERDICT(Mbpp({"def g(): raise OSError('x')\ng()\nassert f(1) == 1"}, code), kInvalidGold,
                 "OSError");
  EXPECT_VERDICT(Judge({{"tests", 5}}, code), kInvalidGold, "expected");
  // Once a value has come, what it makes the tests raise is its own fault.
  EXPECT_VERDICT(Mbpp({"assert len(f(2)) == 1"}, code), kWrong, "TypeError");
}

TEST_F(CodeVerifierTest, ArgumentsChangeAsTheyWouldInOneProcess) {
  EXPECT_VERDICT(
      Mbpp({"a = [3, 1]\nassert f(a) is None\nassert a == [1, 3]"}, "def f(a):\n  a.sort()"),
      kCorrect, "");
  EXPECT_VERDICT(Mbpp({"a = {1: 2}\nassert f(a) == 0\nassert a == {1: 2}"},
                      "def f(a):\n  a.clear()\n  return len(a)"),
                 kWrong, "test 2 of 2");
}

TEST_F(CodeVerifierTest, ObjectsStayWithTheCandidate) {
  const std::string code =
      "class Node:\n  def __init__(self, value):\n    self.value, self.next = value, None\n"
      "  def double(self):\n    return 2 * self.value\n"
      "def length(node):\n  return 0 if node is None else 1 + length(node.next)\n"
      "def numbers():\n  yield from (1, 2)\n"
      "def pair():\n  return [Node(1)]\n";
  EXPECT_VERDICT(Mbpp({"a = Node(1)\na.next = Node(2)\nassert length(a) == 2",
                       "assert a.next.double() == 4", "assert a.value == 1",
                       "assert length(a.next.next) == 0", "assert list(numbers()) == [1, 2]",
                       "assert sum([n.value for n in [Node(3), Node(4)]]) == 7"},
                      code),
                 kCorrect, "6 tests");
  EXPECT_VERDICT(Mbpp({"assert pair() == [1]"}, code), kWrong, "no plain data");
  EXPECT_VERDICT(Mbpp({"assert numbers() == [1, 2]"}, code), kWrong, "generator");
}

TEST_F(CodeVerifierTest, ExceptionsReachTheTests) {
  const std::string tests =
      "try:\n  f(-1)\n  assert False\nexcept ValueError as error:\n  assert str(error) == 'low'\n"
      "assert f(1) == 1";
  EXPECT_VERDICT(Mbpp({tests}, "def f(x):\n  if x < 0: raise ValueError('low')\n  return x"),
                 kCorrect, "");
  EXPECT_VERDICT(Mbpp({tests}, "def f(x):\n  return x"), kWrong, "assert False");
  EXPECT_VERDICT(
      Mbpp({tests}, "class ValueError(Exception): pass\ndef f(x):\n  raise ValueError('low')"),
      kWrong, "raised ValueError: low");
}

TEST_F(CodeVerifierTest, BuiltInsInTestsAreTheRealOnes) {
  EXPECT_VERDICT(Mbpp({"assert set(f(2)) == {2}"}, "def f(x):\n  return [x]"), kCorrect, "");
  EXPECT_VERDICT(
      Mbpp({"assert set(f(2)) == {2}"}, "def set(x):\n  return {2}\ndef f(x):\n  return 0"), kWrong,
      "TypeError");
  // Where the tests call nothing else, the name is the function asked for.
  EXPECT_VERDICT(Mbpp({"assert sum(10, 15) == 6"}, "def sum(a, b):\n  return 6"), kCorrect, "");
}

TEST_F(CodeVerifierTest, TestsThatChangeTheirProcessHarmNoOthers) {
  const std::string code = "def f(x):\n  return x";
  EXPECT_VERDICT(Mbpp({"import math\nmath.sqrt = None\nassert f(1) == 1"}, code), kCorrect, "");
  EXPECT_VERDICT(Mbpp({"import math\nassert f(math.sqrt(4)) == 2"}, code), kCorrect, "");
  EXPECT_VERDICT(Mbpp({"import sys\nf(1)\nsys.exit(0)\nassert f(1) == 1"}, code), kWrong,
                 "SystemExit");
}

TEST_F(CodeVerifierTest, StopsAtTheCallersDeadline) {
  const VerifyItem endless = CodeItem(R"({"test_list":["assert f(2) == 4"]})",
                                      "import time\ndef f(x):\n  time.sleep(1000)");
  const std::vector<VerifyItem> batch(3, endless);
  JudgeCode(*verifier_, HonestItem());  // what starts once has started
  const absl::Time start = absl::Now();
  const auto verdicts = verifier_->Verify(batch, start + absl::Milliseconds(300)).value();
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  ASSERT_EQ(verdicts.size(), 3u);
  for (const Verdict& verdict : verdicts) EXPECT_VERDICT(verdict, kInternal, "deadline");
  EXPECT_VERDICT(JudgeCode(*verifier_, HonestItem()), kCorrect, "");
}

TEST_F(CodeVerifierTest, AnswersInOrder) {
  std::vector<VerifyItem> batch;
  for (int i = 0; i < 20; ++i) {
    batch.push_back(CodeItem(R"({"test_list":["assert f(1) == 3"]})",
                             "def f(x):\n  return " + std::to_string(i)));
  }
  CodeVerifierOptions options = SmallLimits();
  options.slots = 3;
  const auto verifier = CreateCodeVerifier(options).value();
  const auto verdicts = verifier->Verify(batch, absl::InfiniteFuture()).value();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(verdicts[i].status, i == 3 ? VerdictStatus::kCorrect : VerdictStatus::kWrong);
    EXPECT_THAT(verdicts[i].extracted, HasSubstr(" " + std::to_string(i) + "\n"));
  }
  EXPECT_TRUE(verifier->Verify({}, absl::InfiniteFuture())->empty());
}

TEST(CodeVerifierOptions, RefusesToRunWithoutLimits) {
  CodeVerifierOptions options = SmallLimits();
  options.limits.memory_mib = 0;
  EXPECT_TRUE(absl::IsFailedPrecondition(CreateCodeVerifier(options).status()));
  options = SmallLimits();
  options.limits.processes = 0;
  EXPECT_TRUE(absl::IsFailedPrecondition(CreateCodeVerifier(options).status()));
  options = SmallLimits();
  options.limits.wall_s = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(CreateCodeVerifier(options).status()));
  options = SmallLimits();
  options.python = "/nowhere/python3";
  EXPECT_THAT(std::string(CreateCodeVerifier(options).status().message()),
              HasSubstr("/nowhere/python3"));
}

TEST_F(CodeVerifierTest, RunsWithoutLimitsWhereTold) {
  CodeVerifierOptions options = SmallLimits();
  options.limits.memory_mib = 0;
  options.limits.processes = 0;
  options.allow_weak_sandbox = true;
  EXPECT_VERDICT(JudgeCode(*CreateCodeVerifier(options).value(), HonestItem()), kCorrect, "");
}

TEST_F(CodeVerifierTest, SaysWhichLimitsAreOn) {
  CodeVerifierOptions options = SmallLimits();
  std::string line;
  options.log = [&](const std::string& text) { line = text; };
  ASSERT_TRUE(CreateCodeVerifier(options).ok());
  EXPECT_THAT(line, AllOf(HasSubstr("memory 128 MiB"), HasSubstr("16 processes"),
                          HasSubstr("system calls allowed"), HasSubstr("0.4 s processor time")));
}

TEST(AutoVerifier, SendsCodeToItsVerifier) {
  const auto verifier = CreateVerifier("auto").value();
  EXPECT_THAT(verifier->Describe().task_kinds, testing::Contains("code"));
  const std::vector<VerifyItem> batch = {{{.kind = "math", .gold = "7"}, "\\boxed{7}"},
                                         HonestItem(),
                                         {{.kind = "math", .gold = "7"}, "\\boxed{8}"}};
  const auto verdicts = verifier->Verify(batch, absl::InfiniteFuture());
  if (!verdicts.ok()) GTEST_SKIP() << "no sandbox on this machine: " << verdicts.status();
  EXPECT_EQ((*verdicts)[0].status, VerdictStatus::kCorrect);
  EXPECT_EQ((*verdicts)[1].status, VerdictStatus::kCorrect) << (*verdicts)[1].reason;
  EXPECT_EQ((*verdicts)[2].status, VerdictStatus::kWrong);
}

TEST(AutoVerifier, StartsNoSandboxForMathematics) {
  const auto verifier = CreateVerifier("auto").value();
  const size_t processes = Descendants().size();  // the one that does the algebra
  const VerifyItem item{{.kind = "math", .gold = "7"}, "\\boxed{7}"};
  EXPECT_TRUE(verifier->Verify({&item, 1}, absl::InfiniteFuture()).ok());
  EXPECT_EQ(Descendants().size(), processes);
}

}  // namespace
}  // namespace ponder
