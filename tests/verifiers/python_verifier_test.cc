// Runs examples/python_verifier/verifier.py, the verifier that docs/verifiers.md explains, where
// Python has grpcio.
#include <absl/time/clock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "verifiers/service/verifier_service.h"

extern char** environ;

namespace ponder {
namespace {

// A child process whose standard output is read line by line.
class Child {
 public:
  explicit Child(std::vector<std::string> arguments) {
    int ends[2];
    if (pipe(ends) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    if (posix_spawnp(&process_, pointers[0], &actions, nullptr, pointers.data(), environ) != 0)
      process_ = 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = ends[0];
  }
  ~Child() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    if (output_ >= 0) close(output_);
  }

  // The next line; what has come where the output ends or the time runs out.
  std::string ReadLine(absl::Duration timeout) {
    const absl::Time give_up = absl::Now() + timeout;
    std::string line;
    while (true) {
      pollfd wait{.fd = output_, .events = POLLIN};
      const int64_t left = absl::ToInt64Milliseconds(give_up - absl::Now());
      char c = 0;
      if (left <= 0 || poll(&wait, 1, static_cast<int>(left)) <= 0 || read(output_, &c, 1) != 1)
        return line;
      if (c == '\n') return line;
      line.push_back(c);
    }
  }

 private:
  pid_t process_ = 0;
  int output_ = -1;
};

TEST(PythonVerifier, JudgesOverGrpcAsTheDocumentationSays) {
  // scripts/bootstrap puts grpcio here; one that python3 has itself serves as well.
  setenv("PYTHONPATH", PONDER_PYTHON_PACKAGES, /*overwrite=*/1);
  {
    Child probe({"python3", "-c", "import grpc, grpc_tools; print('here')"});
    if (probe.ReadLine(absl::Seconds(60)) != "here") {
      GTEST_SKIP() << "python3 with grpcio and grpcio-tools was not found; run ./scripts/bootstrap";
    }
  }
  Child child({"python3", PONDER_PYTHON_VERIFIER, "0"});
  const std::string line = child.ReadLine(absl::Seconds(60));
  const std::string said = "listening on ";
  ASSERT_TRUE(line.starts_with(said)) << line;
  auto verifier = ConnectVerifier({.address = line.substr(said.size())});
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  const std::vector<VerifyItem> items = {{{.kind = "math", .gold = "1,000"}, "about \\boxed{1005}"},
                                         {{.kind = "math", .gold = "1000"}, "about \\boxed{1,050}"},
                                         {{.kind = "math", .gold = "1000"}, "about \\boxed{2000}"},
                                         {{.kind = "math", .gold = "1000"}, "about 1000"},
                                         {{.kind = "math", .gold = "1000"}, "about \\boxed{many}"},
                                         {{.kind = "math", .gold = "x"}, "\\boxed{1}"}};
  const auto verdicts = verifier->Verify(items, deadline);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ(verifier->Describe().name, "close-enough");
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

}  // namespace
}  // namespace ponder
