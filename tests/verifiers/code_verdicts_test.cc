// What tests and programs could turn into a wrong verdict, each tried once.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/verifiers/sandbox_support.h"

namespace ponder {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class CodeVerdicts : public ::testing::Test {
 protected:
  void SetUp() override {
    auto verifier = CreateCodeVerifier(SmallLimits());
    if (!verifier.ok()) GTEST_SKIP() << "no sandbox on this machine: " << verifier.status();
    verifier_ = std::move(*verifier);
  }

  void Expect(VerdictStatus status, const std::string& reason, const std::string& data,
              const std::string& code) {
    const Verdict verdict = JudgeCode(*verifier_, CodeItem(data, code));
    EXPECT_EQ(ToString(verdict.status), ToString(status)) << code << "\n" << verdict.reason;
    EXPECT_THAT(verdict.reason, HasSubstr(reason)) << code;
  }
  static std::string Asserts(const std::vector<std::string>& tests) {
    return json{{"test_list", tests}}.dump();
  }

  std::unique_ptr<Verifier> verifier_;
};

TEST_F(CodeVerdicts, InfinityIsNearToNothing) {
  const std::string data =
      R"({"entry_point":"f","tests":[{"args":[1],"expected":3},{"args":[2],"expected":2.5}]})";
  Expect(VerdictStatus::kWrong, "gave inf", data, "def f(x):\n  return float('inf')");
  Expect(VerdictStatus::kWrong, "gave -inf", data, "def f(x):\n  return -float('inf')");
  Expect(VerdictStatus::kWrong, "gave nan", data, "def f(x):\n  return float('nan')");
}

TEST_F(CodeVerdicts, IntegersOfManyDigitsStayExact) {
  const std::string data =
      R"({"entry_point":"f","tests":[{"args":[123456789012345678901234567890],)"
      R"("expected":{"-1 \" 1234567890123456789012": -123456789012345678901234567891}}]})";
  Expect(VerdictStatus::kCorrect, "", data,
         "def f(x):\n  return {'-1 \" 1234567890123456789012': -x - 1}");
  Expect(VerdictStatus::kWrong, "", data,
         "def f(x):\n  return {'-1 \" 1234567890123456789012': -x}");
}

TEST_F(CodeVerdicts, TestsThatCatchEverythingDoNotHideAnEnd) {
  const std::string data = Asserts(
      {"assert f(1) == 2", "try:\n  f(-1)\nexcept:\n  pass\nelse:\n  assert False\nassert 1 == 1"});
  Expect(VerdictStatus::kTimeout, "f(-1): the program used", data,
         "def f(x):\n  while x < 0: pass\n  return x + 1");
  Expect(VerdictStatus::kWrong, "exit status 0", data,
         "import os\ndef f(x):\n  if x < 0: os._exit(0)\n  return x + 1");
  Expect(VerdictStatus::kCorrect, "", data,
         "def f(x):\n  if x < 0: raise ValueError\n  return x + 1");
  Expect(VerdictStatus::kWrong, "defines no f", data, "def g(x):\n  return x + 1");
}

TEST_F(CodeVerdicts, AnExceptionDoesNotEndALoopOfTheTests) {
  const std::string code = "def f(x):\n  raise StopIteration";
  Expect(VerdictStatus::kWrong, "raised StopIteration", Asserts({"assert all(map(f, [1, 2]))"}),
         code);
  Expect(VerdictStatus::kCorrect, "",
         Asserts({"try:\n  f(1)\n  assert False\nexcept StopIteration:\n  pass\nassert True"}),
         code);
}

TEST_F(CodeVerdicts, ArgumentsOfATaskCannotBeChangedForTheNextProgram) {
  const std::string data = R"({"entry_point":"f","tests":[{"args":[[3,1,2]],"expected":[1,2,3]}]})";
  // Says by itself that it is loaded, and what the call did to the argument.
  Expect(VerdictStatus::kWrong, "gave None", data,
         "import marshal, os, sys, time\n"
         "nonce = sys._getframe().f_back.f_locals['nonce']\n"
         "def say(number, kind, value):\n"
         "  data = marshal.dumps(value, 2)\n"
         "  os.write(3, nonce + number.to_bytes(4, 'little') + bytes([kind]) + "
         "len(data).to_bytes(4, 'little') + data)\n"
         "say(0, 1, None)\n"
         "say(1, 5, (None, [[1, 2, 3]]))\n"
         "time.sleep(1000)");
  Expect(VerdictStatus::kWrong, "f([3, 1, 2]) gave [3, 1, 2]", data, "def f(x):\n  return x");
  Expect(VerdictStatus::kCorrect, "", data, "def f(x):\n  return sorted(x)");
}

TEST_F(CodeVerdicts, TestsDoNotRunATextOfTheAnswers) {
  Expect(VerdictStatus::kInvalidGold, "run a text", Asserts({"assert eval(f(1)) == 5"}),
         "def f(x):\n  return '5'");
  Expect(VerdictStatus::kCorrect, "", Asserts({"assert f(1) == eval('5')"}),
         "def f(x):\n  return 5");
}

TEST_F(CodeVerdicts, KeywordArgumentsChangeAsOthersDo) {
  Expect(VerdictStatus::kCorrect, "", Asserts({"a = [3, 1]\nf(xs=a)\nassert a == [1, 3]"}),
         "def f(xs):\n  xs.sort()");
}

TEST_F(CodeVerdicts, NumbersOfMillionsOfDigitsAreNotWrittenOut) {
  Expect(VerdictStatus::kWrong, "<an integer of 1000001 bits>", Asserts({"assert f(1) == 2"}),
         "def f(x):\n  return [1 << 1000000]");
  Expect(VerdictStatus::kWrong, "KeyError", Asserts({"assert {1: 2}[f(1)] == 2"}),
         "def f(x):\n  return 1 << 1000000");
}

TEST_F(CodeVerdicts, TestsThatEndTheirProcessAreNoFaultOfTheAnswers) {
  const std::string code = "def f(x):\n  return x";
  for (int i = 0; i < 2; ++i) {
    Expect(VerdictStatus::kInvalidGold, "ended their own process",
           Asserts({"import os\nassert f(1) == 1\nos._exit(0)"}), code);
    Expect(VerdictStatus::kCorrect, "", Asserts({"assert f(1) == 1"}), code);
  }
}

TEST_F(CodeVerdicts, APromptStandsWhateverItsIndentation) {
  const auto judge = [&](const std::string& prompt, const std::string& code) {
    Expect(
        VerdictStatus::kCorrect, "",
        json{
            {"prompt", prompt}, {"entry_point", "f"}, {"test", "def check(c):\n  assert c(1) == 2"}}
            .dump(),
        code);
  };
  for (const std::string indent : {"  ", "    ", "\t"}) {
    const std::string code = "def f(x):\n" + indent + "return one() + x";
    const std::string one = "def one():\n" + indent + "return 1\n";
    judge(one + "def f(x):\n" + indent + "'''One more:'''\n", code);
    judge(one + "def f(x):\n" + indent + "'''One more:\n\n" + indent + indent + "that is it.'''\n",
          code);
    judge(one + "def f(x):\n" + indent + "# One more.\n", code);
    judge(one + "def f(x): \n", code);
  }
}

TEST_F(CodeVerdicts, ABlockInAListIsMovedOut) {
  const auto judge = [&](const std::string& text) {
    const Verdict verdict =
        JudgeCode(*verifier_, {{.kind = "code", .data = Asserts({"assert f(1) == 2"})}, text});
    EXPECT_EQ(verdict.status, VerdictStatus::kCorrect) << text << verdict.reason;
  };
  judge("1. So:\n\n   ```python\n   def f(x):\n\n       return x + 1\n   ```\n");
  judge("- So:\n    ```python\ndef f(x):\n    return x + 1\n    ```\n");
  // Marks further in are part of the code.
  judge(
      "```python\ndef f(x):\n    '''\n    ```\n    f(1)\n    ```\n    '''\n    return x + 1\n```");
}

TEST_F(CodeVerdicts, TheLimitOfProcessorTimeStaysAsItIs) {
  Expect(VerdictStatus::kCorrect, "", Asserts({"assert f() == [False, False, True]"}),
         "import ctypes, resource\n"
         "def done(action):\n"
         "  try: return action() == 0\n"
         "  except (OSError, ValueError): return False\n"
         "def f():\n"
         "  c = ctypes.CDLL(None)\n"
         "  pair = (ctypes.c_uint64 * 2)(1, 1)\n"
         "  return [done(lambda: c.prlimit64(0, resource.RLIMIT_CPU, pair, None)),\n"
         "          done(lambda: c.syscall(160, resource.RLIMIT_CPU, pair)),\n"
         "          resource.getrlimit(resource.RLIMIT_CPU)[0] > 1]");
}

}  // namespace
}  // namespace ponder
