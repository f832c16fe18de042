#include "app/bench_code.h"

#include <absl/time/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "verifiers/code/code_verifier.h"
#include "verifiers/code/embedded_sources.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kChecks = 400;        // a core and turn
constexpr int64_t kProcessChecks = 30;  // likewise; starting a process for each is slow

struct Program {
  std::string code;
  std::vector<std::string> tests;
};

// Short functions with a handful of asserts, as HumanEval and MBPP have them.
const std::vector<Program> kPrograms = {
    {R"(def f(numbers, threshold):
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            if i != j and abs(a - b) < threshold:
                return True
    return False
)",
     {"assert f([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) == True",
      "assert f([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05) == False",
      "assert f([1.0, 2.0, 5.9, 4.0, 5.0], 0.95) == True",
      "assert f([1.0, 2.0, 5.9, 4.0, 5.0], 0.8) == False",
      "assert f([1.1, 2.2, 3.1, 4.1, 5.1], 1.0) == True"}},
    {R"(from collections import Counter

def f(text):
    counts = Counter(text.lower().split())
    most = max(counts.values(), default=0)
    return {w: n for w, n in counts.items() if n == most}
)",
     {"assert f('a b b a') == {'a': 2, 'b': 2}", "assert f('a b c a b') == {'a': 2, 'b': 2}",
      "assert f('') == {}", "assert f('b b b b a') == {'b': 4}"}},
    {R"(def f(n):
    primes = []
    for k in range(2, n + 1):
        if all(k % p for p in primes if p * p <= k):
            primes.append(k)
    return primes
)",
     {"assert f(10) == [2, 3, 5, 7]", "assert f(2) == [2]", "assert f(1) == []",
      "assert len(f(1000)) == 168"}},
    {R"(import re
import math

class Solver:
    def __init__(self, text):
        self.numbers = [int(t) for t in re.findall(r'-?\d+', text)]

    def answer(self):
        return math.gcd(*self.numbers) if self.numbers else None

def f(text):
    return Solver(text).answer()
)",
     {"assert f('12 and 18') == 6", "assert f('none') is None", "assert f('7') == 7",
      "assert f('-4, 6, 10') == 2"}}};

// A folder that is removed with the object.
class ScratchFolder {
 public:
  static absl::StatusOr<std::unique_ptr<ScratchFolder>> Make() {
    std::string path = (std::filesystem::temp_directory_path() / "ponder-bench-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) return Unavailable("cannot make a folder {}", path);
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(path));
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string File(std::string_view name) const { return fmt::format("{}/{}", path_, name); }
  absl::Status Write(std::string_view name, std::string_view content) const {
    std::ofstream file(File(name), std::ios::binary);
    file << content;
    file.close();
    return file ? absl::OkStatus() : Unavailable("cannot write {}", File(name));
  }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// bare_python_loop.py, one for each core; it ends with the object.
class BareLoop {
 public:
  static absl::StatusOr<std::unique_ptr<BareLoop>> Start(const ScratchFolder& folder,
                                                         const std::string& python,
                                                         int64_t number) {
    const std::string answers = folder.File(fmt::format("answers.{}", number));
    if (mkfifo(answers.c_str(), 0600) != 0) return Unavailable("cannot make the pipe {}", answers);
    const std::string command =
        fmt::format("'{}' -B '{}' '{}' > '{}'", python, folder.File("bare_python_loop.py"),
                    folder.File("programs.jsonl"), answers);
    FILE* const orders = popen(command.c_str(), "we");
    if (orders == nullptr) return Unavailable("cannot start {}", command);
    // To open the pipe waits until its other end is open, which the shell does first of all.
    return std::unique_ptr<BareLoop>(new BareLoop(orders, answers));
  }
  ~BareLoop() { pclose(orders_); }

  void Order(const std::string& how, int64_t checks) {
    fmt::print(orders_, "{} {}\n", how, checks);
    fflush(orders_);
  }
  absl::StatusOr<double> Seconds() {
    double seconds = 0;
    if (answers_ >> seconds) return seconds;
    return Internal("the bare loop has ended early; what it said is above");
  }

 private:
  BareLoop(FILE* orders, const std::string& answers) : orders_(orders), answers_(answers) {}

  FILE* const orders_;
  std::ifstream answers_;
};

// What is measured, ready to take its turns.
class Turns {
 public:
  absl::Status Prepare() {
    const CodeVerifierOptions options;
    PONDER_ASSIGN_OR_RETURN(verifier_, CreateCodeVerifier(options));
    PONDER_ASSIGN_OR_RETURN(folder_, ScratchFolder::Make());
    for (const auto* const sources : {&EmbeddedSources(), &BenchPythonSources()}) {
      for (const auto& [name, content] : *sources) {
        PONDER_RETURN_IF_ERROR(folder_->Write(name, content));
      }
    }
    std::string lines;
    for (const Program& program : kPrograms) {
      lines +=
          json{{"code", program.code}, {"tests", fmt::format("{}", fmt::join(program.tests, "\n"))}}
              .dump() +
          "\n";
    }
    PONDER_RETURN_IF_ERROR(folder_->Write("programs.jsonl", lines));
    for (int64_t i = 0; i < cores_; ++i) {
      PONDER_ASSIGN_OR_RETURN(std::unique_ptr<BareLoop> loop,
                              BareLoop::Start(*folder_, options.python, i));
      loops_.push_back(std::move(loop));
    }
    for (int64_t i = 0; i < kChecks * cores_; ++i) {
      const Program& program = kPrograms[static_cast<size_t>(i) % kPrograms.size()];
      batch_.push_back({{.kind = "code", .data = json{{"test_list", program.tests}}.dump()},
                        "```python\n" + program.code + "```"});
    }
    return absl::OkStatus();
  }

  // Each gives checks a second.
  absl::StatusOr<double> Bare(const std::string& how, int64_t checks) {
    for (const auto& loop : loops_) loop->Order(how, checks);
    double seconds = 0;
    for (const auto& loop : loops_) {
      PONDER_ASSIGN_OR_RETURN(const double mine, loop->Seconds());
      seconds = std::max(seconds, mine);
    }
    return static_cast<double>(checks * cores_) / seconds;
  }
  absl::StatusOr<double> Ours() {
    const absl::Time start = absl::Now();
    PONDER_ASSIGN_OR_RETURN(const std::vector<Verdict> verdicts,
                            verifier_->Verify(batch_, absl::InfiniteFuture()));
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    for (const Verdict& verdict : verdicts) {
      if (verdict.status != VerdictStatus::kCorrect) {
        return Internal("a right program was judged {}: {}", ToString(verdict.status),
                        verdict.reason);
      }
    }
    return static_cast<double>(batch_.size()) / seconds;
  }

 private:
  const int64_t cores_ = std::max<unsigned>(1, std::thread::hardware_concurrency());
  std::unique_ptr<Verifier> verifier_;
  std::unique_ptr<ScratchFolder> folder_;
  std::vector<std::unique_ptr<BareLoop>> loops_;
  std::vector<VerifyItem> batch_;
};

}  // namespace

absl::Status BenchCode(int64_t repeats, const std::function<void(const BenchRow&)>& print) {
  Turns turns;
  PONDER_RETURN_IF_ERROR(turns.Prepare());
  std::vector<double> forks, ours, processes, over_process;
  for (int64_t round = -1; round < repeats; ++round) {  // the first warms up
    PONDER_ASSIGN_OR_RETURN(const double fork, turns.Bare("fork", kChecks));
    PONDER_ASSIGN_OR_RETURN(const double mine, turns.Ours());
    PONDER_ASSIGN_OR_RETURN(const double process, turns.Bare("process", kProcessChecks));
    if (round < 0) continue;
    forks.push_back(fork);
    ours.push_back(mine);
    processes.push_back(process);
    over_process.push_back(mine / process);
  }
  const BenchRow bare = MakeRow("code_bare_fork", "checks/s", forks);
  print(bare);
  BenchRow row = MakeRow("code_python", "checks/s", ours);
  row.limit = bare.median;
  print(row);
  print(MakeRow("code_process_per_check", "checks/s", processes));
  print(MakeRow("code_over_process", "times", over_process));
  return absl::OkStatus();
}

}  // namespace ponder
