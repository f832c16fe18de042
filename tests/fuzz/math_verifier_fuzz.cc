// Any text and any gold get a verdict from the math verifier: never INTERNAL, never a crash, and
// the same one twice.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/verifier.h"

std::vector<std::string> FuzzSeeds() {
  using namespace std::string_literals;
  return {"<think> 3 + 4 = 7 </think> <answer>7</answer>"s,
          "1/2\0So it is \\boxed{\\frac{1}{2}}, or \\fbox{0.5}."s,
          "1,234.5\0The final answer is $1{,}234.50$ dollars. #### 1 234.5"s,
          "12%\0Answer: x = 1.2 \\times 10^{1} \\text{ cm}^2 or 12 1/2 million"s};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  static Verifier& strict = *CreateVerifier("math").value().release();
  static Verifier& anywhere = *CreateVerifier("math", {.extraction = "anywhere"}).value().release();
  // "gold\0completion"; without a zero the whole is the completion.
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  VerifyItem item{{.kind = "math", .gold = "7"}, std::string(input)};
  if (split != std::string_view::npos) {
    item.task.gold = std::string(input.substr(0, split));
    item.completion = std::string(input.substr(split + 1));
  }
  for (Verifier* verifier : {&strict, &anywhere}) {
    Verdict first = verifier->Verify({&item, 1}, absl::InfiniteFuture()).value()[0];
    Verdict second = verifier->Verify({&item, 1}, absl::InfiniteFuture()).value()[0];
    PONDER_CHECK(
        first.status != VerdictStatus::kInternal && first.status != VerdictStatus::kUnspecified,
        first.reason);
    PONDER_CHECK(first.score == (first.status == VerdictStatus::kCorrect ? 1 : 0));
    // Only whether a limit of time is met may differ.
    if (first.status == VerdictStatus::kTimeout || second.status == VerdictStatus::kTimeout)
      continue;
    first.elapsed_us = second.elapsed_us = 0;
    PONDER_CHECK(first == second);
  }
  return 0;
}
