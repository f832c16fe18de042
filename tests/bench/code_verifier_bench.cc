#include <absl/time/clock.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "verifiers/code/code_verifier.h"

// Checks of Python programs with all limits on, beside two executors without any sandbox that run
// in the same sitting, turn by turn: one forks a warm interpreter for each check, one starts a
// process. All use as many processes side by side as there are slots.
namespace ponder {
namespace {

using nlohmann::json;

struct Program {
  std::string code;
  std::vector<std::string> tests;
};

// Short functions with a handful of asserts, as HumanEval and MBPP have them.
const std::vector<Program> kPrograms = {
    {"def f(numbers, threshold):\n    for i, a in enumerate(numbers):\n        for j, b in "
     "enumerate(numbers):\n            if i != j and abs(a - b) < threshold:\n                "
     "return "
     "True\n    return False\n",
     {"assert f([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) == True",
      "assert f([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05) == False",
      "assert f([1.0, 2.0, 5.9, 4.0, 5.0], 0.95) == True",
      "assert f([1.0, 2.0, 5.9, 4.0, 5.0], 0.8) == False",
      "assert f([1.1, 2.2, 3.1, 4.1, 5.1], 1.0) == True"}},
    {"from collections import Counter\n\ndef f(text):\n    counts = Counter(text.lower().split())\n"
     "    most = max(counts.values(), default=0)\n    return {w: n for w, n in counts.items() if n "
     "== "
     "most}\n",
     {"assert f('a b b a') == {'a': 2, 'b': 2}", "assert f('a b c a b') == {'a': 2, 'b': 2}",
      "assert f('') == {}", "assert f('b b b b a') == {'b': 4}"}},
    {"def f(n):\n    primes = []\n    for k in range(2, n + 1):\n        if all(k % p for p in "
     "primes if "
     "p * p <= k):\n            primes.append(k)\n    return primes\n",
     {"assert f(10) == [2, 3, 5, 7]", "assert f(2) == [2]", "assert f(1) == []",
      "assert len(f(1000)) == 168"}},
    {"import re\nimport math\n\nclass Solver:\n    def __init__(self, text):\n        self.numbers "
     "= "
     "[int(t) for t in re.findall(r'-?\\d+', text)]\n\n    def answer(self):\n        return "
     "math.gcd(*self.numbers) if self.numbers else None\n\ndef f(text):\n    return "
     "Solver(text).answer()\n",
     {"assert f('12 and 18') == 6", "assert f('none') is None", "assert f('7') == 7",
      "assert f('-4, 6, 10') == 2"}}};

std::string Joined(const std::vector<std::string>& lines) {
  std::string joined;
  for (const std::string& line : lines) joined += line + "\n";
  return joined;
}

// Seconds that the executor takes for `checks` in each of `processes`.
double RunBare(const std::string& how, int64_t checks, int64_t processes,
               const std::string& input) {
  std::vector<double> seconds(static_cast<size_t>(processes));
  std::vector<std::thread> threads;
  for (double& mine : seconds) {
    threads.emplace_back([&] {
      const std::string command = fmt::format("/usr/bin/python3 {} {} {} {} < {}", PONDER_BARE_LOOP,
                                              how, checks, PONDER_ZYGOTE_FOLDER, input);
      FILE* const output = popen(command.c_str(), "r");
      if (output == nullptr || std::fscanf(output, "%lf", &mine) != 1) mine = -1;
      pclose(output);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return *std::max_element(seconds.begin(), seconds.end());
}

struct Rates {
  std::vector<double> values;

  double At(double share) const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
  }
  void Print(const std::string& name, const std::string& unit, double limit) const {
    std::cout << json{{"name", name}, {"unit", unit},   {"median", At(0.5)},       {"min", At(0)},
                      {"max", At(1)}, {"limit", limit}, {"share", At(0.5) / limit}}
                     .dump()
              << std::endl;
  }
};

int Main(int argc, char** argv) {
  int64_t rounds = 7, checks = 400, slots = 0;
  CLI::App app("Checks of Python programs a second, beside executors without a sandbox");
  app.add_option("--rounds", rounds, "repeats of everything")->capture_default_str();
  app.add_option("--checks", checks, "checks a slot and round")->capture_default_str();
  app.add_option("--slots", slots, "programs side by side; 0: one a core");
  CLI11_PARSE(app, argc, argv);
  if (slots == 0) slots = std::max<unsigned>(1, std::thread::hardware_concurrency());

  const std::string input = fmt::format("/tmp/code_verifier_bench.{}", getpid());
  std::ofstream file(input);
  for (const Program& program : kPrograms) {
    file << json{{"code", program.code}, {"tests", Joined(program.tests)}}.dump() << "\n";
  }
  file.close();
  auto verifier = CreateCodeVerifier({.slots = slots});
  if (!verifier.ok()) {
    std::cerr << verifier.status() << "\n";
    return 1;
  }
  std::vector<VerifyItem> batch;
  for (int64_t i = 0; i < checks * slots; ++i) {
    const Program& program = kPrograms[static_cast<size_t>(i) % kPrograms.size()];
    batch.push_back({{.kind = "code", .data = json{{"test_list", program.tests}}.dump()},
                     "```python\n" + program.code + "```"});
  }
  const auto run_verifier = [&](size_t count) {
    const absl::Time start = absl::Now();
    const auto verdicts =
        (*verifier)->Verify(std::span(batch).first(count), absl::InfiniteFuture()).value();
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    for (const Verdict& verdict : verdicts) {
      if (verdict.status != VerdictStatus::kCorrect) std::cerr << verdict.reason << "\n";
    }
    return seconds;
  };
  run_verifier(static_cast<size_t>(4 * slots));
  Rates fork, process, ours, over_fork, over_process;
  const auto total = static_cast<double>(checks * slots);
  const int64_t few = std::max<int64_t>(checks / 10, 4);  // starting a process each is slow
  for (int64_t round = 0; round < rounds; ++round) {
    fork.values.push_back(total / RunBare("fork", checks, slots, input));
    ours.values.push_back(total / run_verifier(batch.size()));
    process.values.push_back(static_cast<double>(few * slots) /
                             RunBare("process", few, slots, input));
    over_fork.values.push_back(ours.values.back() / fork.values.back());
    over_process.values.push_back(ours.values.back() / process.values.back());
  }
  unlink(input.c_str());
  fork.Print("probe_fork_python", "checks/s", fork.At(0.5));
  process.Print("probe_process_python", "checks/s", fork.At(0.5));
  ours.Print("verify_python", "checks/s", fork.At(0.5));
  over_fork.Print("verify_python_over_fork", "times", 1);
  over_process.Print("verify_python_over_process", "times", 1);
  return 0;
}

}  // namespace
}  // namespace ponder

int main(int argc, char** argv) { return ponder::Main(argc, argv); }
