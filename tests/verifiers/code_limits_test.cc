#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/verifiers/sandbox_support.h"

namespace ponder {
namespace {

using ::testing::IsEmpty;

// Programs that use nine tenths of a limit are right, whatever else the machine does; beyond the
// limit they are not. Each with the limits of SmallLimits.
struct NearLimit {
  std::string name;
  std::string code;  // its only capital N stands for the share in percent
};

const std::vector<NearLimit> kNearLimits = {
    {"processor time",
     "import time\ndef f(x):\n  end = 0.4 * N / 100 - 0.02\n"
     "  while time.process_time() < end: pass\n  return x + 1"},
    // Half of it: the interpreter's start counts too, and waits for its turn on a machine with
    // work.
    {"wall time", "import time\ndef f(x):\n  time.sleep(5 * (N - 40) / 100)\n  return x + 1"},
    {"memory",
     "kept = []\ndef f(x):\n  while len(kept) < 128 * N // 100:\n    kept.append(bytearray(b'x') * "
     "(1 << 20))\n  return x + 1"},
    {"disk",
     "def f(x):\n  with open('/tmp/file', 'wb') as file:\n    file.write(b'x' * (8 * (1 << 20) * N "
     "// "
     "100))\n  return x + 1"},
    {"files",
     "def f(x):\n  for i in range(64 * N // 100 - 2):\n    open('/tmp/%d' % i, 'w').close()\n  "
     "return x "
     "+ 1"},
    {"threads",
     "import threading\ndef f(x):\n  done = threading.Event()\n  threads = "
     "[threading.Thread(target=done.wait) for _ in range(16 * N // 100)]\n  try:\n"
     "    for t in threads: t.start()\n  finally:\n    done.set()\n  return x + 1"},
    {"descriptors",
     "import os\ndef f(x):\n  kept = [os.dup(1) for _ in range(32 * N // 100 - 4)]\n  for k in "
     "kept: "
     "os.close(k)\n  return x + 1"},
    {"values", "def large():\n  return 'x' * (256 * 1024 * N // 100 - 16)"},
};

std::string With(std::string code, int percent) {
  for (size_t at = 0; (at = code.find('N', at)) != std::string::npos;) {
    code.replace(at, 1, std::to_string(percent));
  }
  return code;
}

// Four slots on however few cores: nearly everything waits for something else.
std::vector<std::string> UseNineTenths() {
  CodeVerifierOptions options = SmallLimits();
  options.limits.wall_s = 5;
  options.slots = 4;
  auto verifier = CreateCodeVerifier(options).value();
  std::vector<VerifyItem> batch;
  std::vector<std::string> names;
  for (const auto& [percent, repeats] : {std::pair(90, 3), std::pair(150, 1)}) {
    for (int repeat = 0; repeat < repeats; ++repeat) {
      for (const NearLimit& limit : kNearLimits) {
        const bool large = limit.name == "values";
        batch.push_back(CodeItem(large ? R"({"test_list":["assert set(large()) == {'x'}"]})"
                                       : R"({"test_list":["assert f(1) == 2"]})",
                                 With(limit.code, percent)));
        names.push_back(limit.name + " at " + std::to_string(percent) + " %");
      }
    }
  }
  const auto verdicts = verifier->Verify(batch, absl::InfiniteFuture()).value();
  std::vector<std::string> failures;
  for (size_t i = 0; i < batch.size(); ++i) {
    const bool right = verdicts[i].status == VerdictStatus::kCorrect;
    if (right != names[i].ends_with(" 90 %")) {
      failures.push_back(names[i] + ": " + std::string(ToString(verdicts[i].status)) + ": " +
                         verdicts[i].reason);
    }
  }
  return failures;
}

class CodeLimits : public ::testing::TestWithParam<bool> {};

TEST_P(CodeLimits, NineTenthsAreFreeAndMoreIsNot) {
  if (getuid() != 0 && !GetParam()) GTEST_SKIP() << "this test run is not root's";
  const bool change_user = GetParam() && getuid() == 0;
  const auto fault =
      RunInProcess(change_user, [] { return std::vector<std::string>{SandboxFault()}; });
  if (fault != std::vector<std::string>{""})
    GTEST_SKIP() << "no sandbox on this machine: " << fault[0];
  EXPECT_THAT(RunInProcess(change_user, UseNineTenths), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Users, CodeLimits, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "AsOrdinaryUser" : "AsRoot"; });

}  // namespace
}  // namespace ponder
