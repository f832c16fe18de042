// A client for verifier_faults_test: sends mixed batches of mathematics and code to a verifier and
// looks at each verdict. Prints a line a batch, "ok INTERNAL_ITEMS" or "fault WHAT", and at last
// "end PID".
//   verifier_fault_client ADDRESS SEED BATCHES
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

constexpr int64_t kItems = 10;  // a batch
constexpr absl::Duration kDeadline = absl::Seconds(300);

struct Case {
  VerifyItem item;
  VerdictStatus status;
};

Case Math(const char* gold, const char* answer, VerdictStatus status) {
  return {{{.kind = "math", .gold = gold}, answer}, status};
}

Case Code(const char* body, VerdictStatus status) {
  return {{{.kind = "code", .data = R"({"test_list":["assert f(1) == 2", "assert f(5) == 6"]})"},
           fmt::format("```python\ndef f(x):\n  {}\n```", body)},
          status};
}

std::vector<Case> Cases() {
  return {Math("7", "so \\boxed{7}", VerdictStatus::kCorrect),
          Math("7", "so \\boxed{8}", VerdictStatus::kWrong),
          Math("7", "no idea", VerdictStatus::kNoAnswer),
          Math("(x+1)^2", "\\boxed{x^2+2x+1}", VerdictStatus::kCorrect),
          Math("\\sqrt{2}+\\sqrt{3}", "\\boxed{\\sqrt{5+2\\sqrt{6}}}", VerdictStatus::kCorrect),
          Math("\\sin(1)^2+\\cos(1)^2", "\\boxed{2}", VerdictStatus::kWrong),
          Code("return x + 1", VerdictStatus::kCorrect),
          Code("return 2", VerdictStatus::kWrong),
          Code("raise OSError(x)", VerdictStatus::kWrong),
          Code("return", VerdictStatus::kWrong),
          Code("return [x][0] + 1", VerdictStatus::kCorrect),
          Code("return (", VerdictStatus::kUnparseable)};
}

// What is wrong with the answer, or how many items were INTERNAL.
std::string RunBatch(Verifier& verifier, RandomStream& random) {
  static const std::vector<Case> cases = Cases();
  std::vector<VerifyItem> batch;
  std::vector<VerdictStatus> expected;
  for (int64_t i = 0; i < kItems; ++i) {
    const Case& chosen = cases[static_cast<size_t>(random.Between(0, std::ssize(cases) - 1))];
    batch.push_back(chosen.item);
    expected.push_back(chosen.status);
  }
  const auto verdicts = verifier.Verify(batch, absl::Now() + kDeadline);
  if (!verdicts.ok()) return "fault " + std::string(verdicts.status().message());
  if (verdicts->size() != batch.size()) return fmt::format("fault {} verdicts", verdicts->size());
  int64_t internal = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    const Verdict& verdict = (*verdicts)[i];
    if (verdict.status == VerdictStatus::kInternal) {
      ++internal;
    } else if (verdict.status != expected[i]) {
      return fmt::format("fault {}: {} ({})", batch[i].completion, ToString(verdict.status),
                         verdict.reason);
    }
  }
  return fmt::format("ok {}", internal);
}

// In one piece, so that lines of several clients on one pipe stay whole.
bool Print(std::string line) {
  for (char& c : line) c = c == '\n' ? ' ' : c;
  line = line.substr(0, 1000) + "\n";
  return write(STDOUT_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

int Main(char** arguments) {
  const auto verifier = ConnectVerifier({.address = arguments[1]});
  RandomStream random(MakeRandomKey(std::strtoull(arguments[2], nullptr, 10), "fault client"));
  for (int64_t left = std::atoll(arguments[3]); left > 0; --left) {
    const std::string line = RunBatch(*verifier, random);
    if (!Print(line)) return 1;
  }
  return Print(fmt::format("end {}", getpid())) ? 0 : 1;
}

}  // namespace
}  // namespace ponder

int main(int count, char** arguments) { return count == 4 ? ponder::Main(arguments) : 2; }
