#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/random.h"
#include "tests/verifiers/sandbox_support.h"

namespace ponder {
namespace {

using ::testing::IsEmpty;

// By hand with PONDER_CODE_CHECKS=100000, see docs/verifiers/code.md.
int64_t Checks() {
  const char* const number = std::getenv("PONDER_CODE_CHECKS");
  return number == nullptr ? 600 : std::atoll(number);
}

int64_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

absl::Duration ProcessorTime(pid_t process) {
  clockid_t clock = 0;
  timespec used = {};
  if (clock_getcpuclockid(process, &clock) == 0) clock_gettime(clock, &used);
  return absl::DurationFromTimespec(used);
}

// Right, wrong, endless and failing programs by turns, with the status that each has without
// faults.
std::pair<VerifyItem, VerdictStatus> Mixed(int64_t number) {
  const std::string tests = R"({"test_list":["assert f(1) == 2", "assert f(5) == 6"]})";
  switch (number % 40 == 7 ? 3 : number % 3) {
    case 0:
      return {CodeItem(tests, "def f(x):\n  return x + 1"), VerdictStatus::kCorrect};
    case 1:
      return {CodeItem(tests, "def f(x):\n  return 2"), VerdictStatus::kWrong};
    case 2:
      return {CodeItem(tests, "def f(x):\n  raise OSError(x)"), VerdictStatus::kWrong};
    default:
      return {CodeItem(tests, "def f(x):\n  while True: pass"), VerdictStatus::kTimeout};
  }
}

// Sends batches one after another and kills a process below this one, whatever it is, after some:
// another caller's batch is under way then.
class Caller {
 public:
  Caller(Verifier& verifier, uint64_t seed)
      : verifier_(verifier), random_(MakeRandomKey(seed, "kills")) {}

  void Run(int64_t checks, bool kills) {
    for (int64_t first = 0; first < checks; first += kBatch) {
      std::vector<VerifyItem> batch;
      for (int64_t i = 0; i < kBatch; ++i) batch.push_back(Mixed(first + i).first);
      const auto verdicts = verifier_.Verify(batch, absl::InfiniteFuture()).value();
      answered += std::ssize(verdicts);
      for (int64_t i = 0; i < kBatch; ++i) Look(first + i, verdicts[static_cast<size_t>(i)]);
      if (kills && random_.Between(0, 2) == 0) Kill();
    }
  }

  static constexpr int64_t kBatch = 8;
  std::vector<std::string> failures;
  int64_t answered = 0, internal = 0, killed = 0;

 private:
  void Look(int64_t number, const Verdict& verdict) {
    if (verdict.status == VerdictStatus::kInternal) {
      ++internal;
    } else if (verdict.status != Mixed(number).second) {
      failures.push_back(
          fmt::format("item {}: {}: {}", number, ToString(verdict.status), verdict.reason));
    }
  }
  void Kill() {
    const auto below = Descendants();
    if (below.empty()) return;
    const int64_t chosen = random_.Between(0, std::ssize(below) - 1);
    killed += kill(std::next(below.begin(), chosen)->first, SIGKILL) == 0;
  }

  Verifier& verifier_;
  RandomStream random_;
};

std::vector<std::string> JudgeUnderKills() {
  CodeVerifierOptions options = SmallLimits();
  options.limits.cpu_s = 0.1;
  options.slots = 2;
  const int64_t descriptors = OpenDescriptors();
  auto verifier = CreateCodeVerifier(options).value();
  Caller first(*verifier, 1), second(*verifier, 2), last(*verifier, 3);
  first.Run(100, /*kills=*/true);
  const int64_t resident = ResidentBytes(getpid());
  const int64_t each = Checks() / 2 / Caller::kBatch * Caller::kBatch;
  std::thread beside([&] { second.Run(each, /*kills=*/true); });
  first.answered = 0;
  first.Run(each, /*kills=*/true);
  beside.join();
  std::vector<std::string> failures = first.failures;
  failures.insert(failures.end(), second.failures.begin(), second.failures.end());
  if (first.killed + second.killed < 5) failures.push_back("hardly any kills");
  if (first.internal + second.internal == 0) failures.push_back("no kill was noticed");
  if (first.answered != each || second.answered != each) failures.push_back("items were lost");
  // After the faults, once each slot has noticed, all is as before.
  last.Run(4 * Caller::kBatch, /*kills=*/false);
  last.internal = 0;
  last.Run(4 * Caller::kBatch, /*kills=*/false);
  if (last.internal > 0 || !last.failures.empty()) failures.push_back("it has not recovered");
  const int64_t grown = ResidentBytes(getpid()) - resident;
  if (grown > (int64_t{8} << 20)) failures.push_back(fmt::format("grown by {} bytes", grown));
  verifier.reset();
  if (OpenDescriptors() != descriptors) failures.push_back("descriptors leak");
  if (waitpid(-1, nullptr, WNOHANG) != -1) failures.push_back("a child or zombie is left");
  if (!Descendants().empty()) failures.push_back("a process is left");
  return failures;
}

TEST(CodeFaults, EachItemIsAnsweredOnceWhileWorkersAreKilled) {
  if (const std::string fault = SandboxFault(); !fault.empty()) {
    GTEST_SKIP() << "no sandbox on this machine: " << fault;
  }
  EXPECT_THAT(RunInProcess(/*ordinary_user=*/false, JudgeUnderKills), IsEmpty());
}

// The processes of a service that judges the item again and again and is killed, once `ready` likes
// what is below it; the number of those that outlive it.
size_t LeftByAKilledService(const VerifyItem& item,
                            const std::function<bool(const std::set<pid_t>&)>& ready) {
  const pid_t service = fork();
  if (service == 0) {
    auto verifier = CreateCodeVerifier(SmallLimits()).value();
    for (;;) JudgeCode(*verifier, item);
  }
  std::set<pid_t> below;
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (!ready(below) && absl::Now() < limit) {
    below.clear();
    for (const auto& [pid, parent] : Descendants(service)) below.insert(pid);
  }
  EXPECT_TRUE(ready(below));
  std::vector<FileDescriptor> processes;
  for (const pid_t pid : below) processes.push_back(OpenProcess(pid));
  kill(service, SIGKILL);
  waitpid(service, nullptr, 0);
  return AwaitEnds(processes, absl::Seconds(20));
}

// A service that dies in the middle of checks takes its sandboxes with it.
TEST(CodeFaults, SandboxesEndWithTheirService) {
  if (const std::string fault = SandboxFault(); !fault.empty()) {
    GTEST_SKIP() << "no sandbox on this machine: " << fault;
  }
  const VerifyItem endless = CodeItem(R"({"test_list":["assert f(1) == 2"]})",
                                      "import time\ndef f(x):\n  time.sleep(1000)");
  // zygote, judge, candidate
  EXPECT_EQ(LeftByAKilledService(endless, [](const auto& below) { return below.size() >= 3; }), 0u);
}

// Nobody talks to a judge whose tests never end; it has to notice by itself.
TEST(CodeFaults, EndlessTestsEndWithTheirService) {
  if (const std::string fault = SandboxFault(); !fault.empty()) {
    GTEST_SKIP() << "no sandbox on this machine: " << fault;
  }
  const auto busy = [](const std::set<pid_t>& below) {
    return std::any_of(below.begin(), below.end(),
                       [](pid_t pid) { return ProcessorTime(pid) > absl::Seconds(1); });
  };
  for (const std::string tests : {"while True: pass", "import sys\nwhile True: pass"}) {
    const VerifyItem item =
        CodeItem(nlohmann::json{{"test_list", {tests + "\nassert f(1) == 2"}}}.dump(),
                 "def f(x):\n  return 2");
    EXPECT_EQ(LeftByAKilledService(item, busy), 0u) << tests;
  }
}

}  // namespace
}  // namespace ponder
