// `ponder verifier` while its workers and its clients are killed at random.
#include <absl/strings/numbers.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>

#include "base/random.h"
#include "base/status.h"
#include "tests/verifiers/sandbox_support.h"

namespace ponder {
namespace {

constexpr int64_t kBatchItems = 10;     // as verifier_fault_client has it
constexpr int64_t kClientBatches = 20;  // of one client's life
constexpr size_t kClients = 3;          // side by side
constexpr int64_t kMaxGrowth = int64_t{48} << 20;
constexpr int64_t kFewDescriptors = 8;  // connections of clients that are gone since a moment ago
constexpr int kSilenceMs = 200'000;
constexpr absl::Duration kEndLimit = absl::Seconds(60);

// By hand with PONDER_CODE_CHECKS=100000, see docs/verifiers/code.md.
int64_t Checks() {
  const char* const number = std::getenv("PONDER_CODE_CHECKS");
  return number == nullptr ? 1000 : std::atoll(number);
}

// Lines that programs write, through one pipe.
class Lines {
 public:
  Lines() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read_ = FileDescriptor(ends[0]);
    write_ = FileDescriptor(ends[1]);
  }
  int WriteEnd() const { return write_.Get(); }
  void CloseWriteEnd() { write_.Close(); }
  // Empty after the last, or where none comes.
  std::string Next() {
    size_t end = 0;
    while ((end = text_.find('\n')) == std::string::npos) {
      char bytes[4096];
      struct pollfd event = {.fd = read_.Get(), .events = POLLIN, .revents = 0};
      if (poll(&event, 1, kSilenceMs) != 1) return "";
      const ssize_t got = read(read_.Get(), bytes, sizeof(bytes));
      if (got <= 0) return "";
      text_.append(bytes, static_cast<size_t>(got));
    }
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

 private:
  FileDescriptor read_, write_;
  std::string text_;
};

pid_t Spawn(std::vector<std::string> arguments, int input, int output) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, pointers[0], &actions, nullptr, pointers.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

int64_t OpenDescriptors(pid_t process) {
  const std::filesystem::directory_iterator all(fmt::format("/proc/{}/fd", process));
  return std::distance(begin(all), end(all));
}

int64_t Zombies(pid_t root) {
  int64_t count = 0;
  for (const auto& [pid, parent] : Descendants(root)) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(status, line);) count += line.starts_with("State:\tZ");
  }
  return count;
}

// What the last verdict leaves behind takes a moment to end; whether it holds within a minute.
bool ComesToHold(const std::function<bool()>& holds) {
  for (const absl::Time give_up = absl::Now() + kEndLimit; absl::Now() < give_up;) {
    if (holds()) return true;
    sched_yield();
  }
  return holds();
}

// The service, and clients that come and go.
class Faults {
 public:
  Faults() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const FileDescriptor theirs(ends[0]);
    input_ = FileDescriptor(ends[1]);
    Lines announcement;
    service_ =
        Spawn({PONDER_PROGRAM, "verifier", "--listen", "127.0.0.1:0", "--until-input-closes"},
              theirs.Get(), announcement.WriteEnd());
    announcement.CloseWriteEnd();
    address_ = announcement.Next();
    address_.erase(0, std::string("listening on ").size());
  }

  // Until that many items have been answered; kills now and then where told to.
  void Run(int64_t checks, bool kills) {
    for (const int64_t until = answered + checks; answered < until && faults.empty();) {
      while (clients_.size() < kClients) StartClient();
      TakeLine();
      if (kills) Kill();
    }
    while (!clients_.empty() && faults.empty()) TakeLine();  // the last batches of those that live
  }

  // Its input closes; everything below it is to end.
  void Stop() {
    std::vector<FileDescriptor> processes;
    for (const auto& [pid, parent] : Descendants(service_)) processes.push_back(OpenProcess(pid));
    processes.push_back(OpenProcess(service_));
    input_.Close();
    EXPECT_EQ(AwaitEnds(processes, kEndLimit), 0u);
    int status = -1;
    EXPECT_EQ(waitpid(service_, &status, WNOHANG), service_);
    EXPECT_EQ(status, 0);
  }

  pid_t Service() const { return service_; }
  std::string Summary() const {
    return fmt::format("{} items answered, {} of them INTERNAL; {} workers and {} clients killed",
                       answered, internal, workers_killed, clients_killed);
  }

  int64_t internal = 0, answered = 0, workers_killed = 0, clients_killed = 0;
  std::vector<std::string> faults;

 private:
  void StartClient() {
    clients_.insert(Spawn({PONDER_FAULT_CLIENT, address_, std::to_string(next_client_++),
                           std::to_string(kClientBatches)},
                          -1, lines_.WriteEnd()));
  }
  void TakeLine() {
    const std::string line = lines_.Next();
    int64_t number = 0;
    if (line.starts_with("ok ") && absl::SimpleAtoi(line.substr(3), &number)) {
      answered += kBatchItems;
      internal += number;
    } else if (line.starts_with("end ") && absl::SimpleAtoi(line.substr(4), &number)) {
      Reap(static_cast<pid_t>(number));
    } else {
      faults.push_back(line);
    }
  }
  void Kill() {
    if (random_.Between(0, 2) == 0) {
      const auto below = Descendants(service_);
      if (below.empty()) return;
      const int64_t chosen = random_.Between(0, std::ssize(below) - 1);
      workers_killed += kill(std::next(below.begin(), chosen)->first, SIGKILL) == 0;
    } else if (random_.Between(0, 9) == 0 && !clients_.empty()) {
      const pid_t chosen =
          *std::next(clients_.begin(), random_.Between(0, std::ssize(clients_) - 1));
      clients_killed += kill(chosen, SIGKILL) == 0;
      Reap(chosen);
    }
  }
  void Reap(pid_t client) {
    if (clients_.erase(client) == 1) waitpid(client, nullptr, 0);
  }

  RandomStream random_{MakeRandomKey(11, "verifier faults")};
  FileDescriptor input_;
  pid_t service_ = -1;
  std::string address_;
  Lines lines_;
  std::set<pid_t> clients_;
  int64_t next_client_ = 0;
};

TEST(VerifierFaults, ItemsOfLivingClientsAreAnsweredOnceAndNothingIsLeft) {
  if (const std::string fault = SandboxFault(); !fault.empty()) {
    GTEST_SKIP() << "no sandbox on this machine: " << fault;
  }
  Faults run;
  run.Run(Checks() / 5, /*kills=*/true);  // what starts once has started
  run.Run(200, /*kills=*/false);
  const int64_t resident = ResidentBytes(run.Service());
  const int64_t descriptors = OpenDescriptors(run.Service());
  const size_t processes = Descendants(run.Service()).size();
  run.Run(Checks() * 4 / 5, /*kills=*/true);
  EXPECT_GT(run.internal, 0) << "no kill was noticed";
  EXPECT_GT(run.workers_killed, 5);
  EXPECT_GT(run.clients_killed, 0);
  const int64_t under_kills = run.internal;
  run.Run(400, /*kills=*/false);  // each worker that was lost is missed by then
  const int64_t after = run.internal;
  run.Run(200, /*kills=*/false);
  EXPECT_EQ(run.internal, after) << "it has not recovered; before that " << under_kills;
  EXPECT_THAT(run.faults, testing::IsEmpty());
  EXPECT_TRUE(ComesToHold([&] { return Zombies(run.Service()) == 0; }));
  const int64_t grown = ResidentBytes(run.Service()) - resident;
  EXPECT_LT(grown, kMaxGrowth);
  EXPECT_TRUE(
      ComesToHold([&] { return OpenDescriptors(run.Service()) <= descriptors + kFewDescriptors; }));
  // Each client of the time may have had a process for algebra of its own.
  EXPECT_TRUE(
      ComesToHold([&] { return Descendants(run.Service()).size() <= processes + kClients; }));
  std::cout << run.Summary() << fmt::format("; {} bytes more resident\n", grown);
  run.Stop();
}

}  // namespace
}  // namespace ponder
