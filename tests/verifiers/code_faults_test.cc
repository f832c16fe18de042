#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
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

// Kills processes below this one now and then, whatever they are, until told to stop.
void KillAtRandom(const std::atomic<bool>& stop, std::atomic<int64_t>& kills) {
  RandomStream random(MakeRandomKey(7, "kills"));
  while (!stop) {
    const auto below = Descendants();
    if (!below.empty()) {
      const int64_t chosen = random.Between(0, std::ssize(below) - 1);
      kills += kill(std::next(below.begin(), chosen)->first, SIGKILL) == 0;
    }
    absl::SleepFor(absl::Milliseconds(random.Between(5, 60)));
  }
}

std::vector<std::string> JudgeUnderKills() {
  CodeVerifierOptions options = SmallLimits();
  options.limits.cpu_s = 0.1;
  options.slots = 2;
  const int64_t descriptors = OpenDescriptors();
  auto verifier = CreateCodeVerifier(options).value();
  std::vector<std::string> failures;
  int64_t internal = 0, answered = 0;
  int64_t resident = 0;
  std::atomic<bool> stop = false;
  std::atomic<int64_t> kills = 0;
  std::thread killer([&] { KillAtRandom(stop, kills); });
  constexpr int64_t kBatch = 50;
  for (int64_t first = 0; first < Checks(); first += kBatch) {
    std::vector<VerifyItem> batch;
    for (int64_t i = 0; i < kBatch; ++i) batch.push_back(Mixed(first + i).first);
    const auto verdicts = verifier->Verify(batch, absl::InfiniteFuture()).value();
    for (int64_t i = 0; i < kBatch; ++i) {
      ++answered;
      const Verdict& verdict = verdicts[i];
      if (verdict.status == VerdictStatus::kInternal) ++internal;
      // A killed candidate looks like one that ended by itself; it is never right for that.
      const bool killed = verdict.reason.find("signal 9") != std::string::npos;
      if (verdict.status != VerdictStatus::kInternal && !killed &&
          verdict.status != Mixed(first + i).second) {
        failures.push_back(
            fmt::format("item {}: {}: {}", first + i, ToString(verdict.status), verdict.reason));
      }
    }
    if (first == 2 * kBatch) resident = ResidentBytes(getpid());
  }
  stop = true;
  killer.join();
  if (kills < 5) failures.push_back(fmt::format("only {} kills", kills.load()));
  if (internal == 0) failures.push_back("no kill was noticed");
  if (answered != (Checks() + kBatch - 1) / kBatch * kBatch) failures.push_back("items were lost");
  // After the faults all is as before.
  for (int i = 0; i < 4; ++i) {
    const Verdict verdict = JudgeCode(*verifier, HonestItem());
    if (i > 1 && verdict.status != VerdictStatus::kCorrect) failures.push_back(verdict.reason);
  }
  if (ResidentBytes(getpid()) > resident + (int64_t{8} << 20)) failures.push_back("memory leaks");
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

// A service that dies in the middle of checks takes its sandboxes with it.
TEST(CodeFaults, SandboxesEndWithTheirService) {
  if (const std::string fault = SandboxFault(); !fault.empty()) {
    GTEST_SKIP() << "no sandbox on this machine: " << fault;
  }
  std::set<pid_t> boxes;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t service = fork();
  if (service == 0) {
    auto verifier = CreateCodeVerifier(SmallLimits()).value();
    (void)!write(ends[1], "!", 1);
    const VerifyItem endless = CodeItem(R"({"test_list":["assert f(1) == 2"]})",
                                        "import time\ndef f(x):\n  time.sleep(1000)");
    for (;;) JudgeCode(*verifier, endless);
  }
  char byte = 0;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (boxes.size() < 3 && absl::Now() < limit) {  // zygote, judge, candidate
    boxes.clear();
    for (const auto& [pid, parent] : Descendants()) {
      if (pid != service) boxes.insert(pid);
    }
  }
  EXPECT_GE(boxes.size(), 3u);
  kill(service, SIGKILL);
  waitpid(service, nullptr, 0);
  const auto alive = [&] {
    size_t count = 0;
    for (const pid_t pid : boxes) count += kill(pid, 0) == 0 && ResidentBytes(pid) > 0;
    return count;
  };
  while (alive() > 0 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(alive(), 0u);
}

}  // namespace
}  // namespace ponder
