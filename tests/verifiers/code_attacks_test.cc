#include <absl/time/clock.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/verifiers/sandbox_support.h"
#include "verifiers/code/file_descriptor.h"

namespace ponder {
namespace {

using nlohmann::json;
using ::testing::IsEmpty;

constexpr char kSocketName[] = "ponder-attack-test";
constexpr int64_t kMaxGrowth = int64_t{24} << 20;

struct Attack {
  std::string program;
  std::vector<std::string> statuses;  // any of these
  VerifyItem item;
};

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

// attacks.json: each program's file and the statuses it may end with. A Python program is judged by
// its row's "test", else as f(x) = x + 1; a C++ program is to print 7, twice.
std::vector<Attack> ReadAttacks(int port) {
  const std::string folder = PONDER_ATTACKS;
  std::vector<Attack> attacks;
  for (const json& row : json::parse(ReadText(folder + "/attacks.json"))) {
    const std::string program = row["program"];
    const std::string code = ReadText(folder + "/" + program);
    Attack attack{.program = program, .statuses = row["status"]};
    if (program.ends_with(".cc")) {
      attack.item = CodeItem(
          R"({"language":"cpp","tests":[{"input":"","output":"7"},{"input":"1","output":"7"}]})",
          code, "cpp");
    } else {
      json tests = {"assert f(1) == 2", "assert f(5) == 6"};
      if (row.contains("test")) {
        const std::string test = row["test"];
        tests = {Replace(Replace(test, "PORT", std::to_string(port)), "NAME", kSocketName)};
      }
      attack.item = CodeItem(json{{"test_list", tests}}.dump(), code);
    }
    attacks.push_back(std::move(attack));
  }
  return attacks;
}

// A port of this machine that answers, for attacks to look for.
int Listen(const FileDescriptor& listener) {
  sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof(address);
  EXPECT_EQ(bind(listener.Get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(listen(listener.Get(), 8), 0);
  EXPECT_EQ(getsockname(listener.Get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

void ListenAbstract(const FileDescriptor& listener) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  std::copy(std::begin(kSocketName), std::end(kSocketName) - 1, address.sun_path + 1);
  bind(listener.Get(), reinterpret_cast<sockaddr*>(&address),
       static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sizeof(kSocketName)));
}

absl::Duration LimitOf(const Attack& attack) {
  const CodeLimits limits = SmallLimits().limits;
  double seconds = limits.wall_s;
  if (attack.program.ends_with(".cc")) seconds = limits.compile_wall_s + 2 * limits.wall_s;
  return absl::Seconds(seconds + 1);
}

// What lies where an attack would have written, had it been on this machine.
std::vector<std::string> FilesLeft() {
  std::vector<std::string> left;
  for (const char* const path :
       {"/tmp/leftover", "/dev/shm/leftover", "/leftover", "/tmp/fill", "/tmp/fifo", "/tmp/again",
        "/tmp/main.cc", "/tmp/program", "/tmp/loop", "/new", "/json.py"}) {
    if (std::filesystem::exists(std::filesystem::symlink_status(path))) left.push_back(path);
  }
  return left;
}

std::vector<std::string> RunAttacks(const std::vector<Attack>& attacks) {
  std::vector<std::string> failures;
  const auto fail = [&](const Attack& attack, const std::string& what) {
    failures.push_back(attack.program + ": " + what);
  };
  auto verifier = CreateCodeVerifier(SmallLimits()).value();
  JudgeCode(*verifier, HonestItem());  // what starts once has started
  std::map<pid_t, int64_t> resident;
  for (const Attack& attack : attacks) {
    const absl::Time start = absl::Now();
    const Verdict verdict = JudgeCode(*verifier, attack.item);
    const absl::Duration took = absl::Now() - start;
    const std::string status(ToString(verdict.status));
    if (std::count(attack.statuses.begin(), attack.statuses.end(), status) == 0) {
      fail(attack, status + ": " + verdict.reason);
    }
    if (took > LimitOf(attack)) fail(attack, "took " + absl::FormatDuration(took));
    // Nothing is left running: below this process there are boxes only, and nothing below them.
    for (const auto& [pid, parent] : Descendants()) {
      if (parent != getpid()) fail(attack, fmt::format("left process {} of {}", pid, parent));
      if (resident.count(pid) == 0) resident[pid] = ResidentBytes(pid);
      if (ResidentBytes(pid) - resident[pid] > kMaxGrowth) {
        fail(attack, fmt::format("a box has grown by {}", ResidentBytes(pid) - resident[pid]));
      }
    }
    for (const std::string& path : FilesLeft()) fail(attack, "left " + path);
    const Verdict next = JudgeCode(*verifier, HonestItem());
    if (next.status != VerdictStatus::kCorrect) fail(attack, "harmed the next: " + next.reason);
  }
  return failures;
}

class Attacks : public ::testing::TestWithParam<bool> {};

TEST_P(Attacks, EndWithTheirStatusAndLeaveNothing) {
  const bool ordinary_user = GetParam();
  if (getuid() != 0 && !ordinary_user) GTEST_SKIP() << "this test run is not root's";
  const FileDescriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const FileDescriptor abstract(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ListenAbstract(abstract);
  const std::vector<Attack> attacks = ReadAttacks(Listen(listener));
  ASSERT_GT(attacks.size(), 80u);
  const bool change_user = ordinary_user && getuid() == 0;
  const std::vector<std::string> fault =
      RunInProcess(change_user, [] { return std::vector<std::string>{SandboxFault()}; });
  if (fault != std::vector<std::string>{""}) {
    GTEST_SKIP() << "no sandbox on this machine, so nothing was attacked: " << fault[0];
  }
  EXPECT_THAT(RunInProcess(change_user, [&] { return RunAttacks(attacks); }), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Users, Attacks, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "AsOrdinaryUser" : "AsRoot"; });

}  // namespace
}  // namespace ponder
