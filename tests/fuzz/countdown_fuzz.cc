// Any text gets a verdict from the Countdown verifier, and what the parser reads can be computed.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/expression.h"
#include "verifiers/verifier.h"

std::vector<std::string> FuzzSeeds() {
  using namespace std::string_literals;
  return {"\\boxed{2*(3+4)}"s, "<answer>(3+4)/(2/4) = 14</answer>"s, "-2*-(3+4)"s,
          "{\"numbers\":[3,3,8,8],\"target\":24}\0\\boxed{8 \\div (3 - 8/3)}"s};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  static Verifier& verifier = *CreateVerifier("countdown").value().release();
  // "data\0completion"; without a zero the whole is the completion.
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  VerifyItem item{{.kind = "countdown", .data = R"({"numbers":[2,3,4,5],"target":14})"},
                  std::string(input)};
  if (split != std::string_view::npos) {
    item.task.data = std::string(input.substr(0, split));
    item.completion = std::string(input.substr(split + 1));
  }
  const Verdict verdict = verifier.Verify({&item, 1}, absl::InfiniteFuture()).value()[0];
  PONDER_CHECK(
      verdict.status != VerdictStatus::kInternal && verdict.status != VerdictStatus::kUnspecified,
      verdict.reason);
  if (size <= 256) {
    if (const absl::StatusOr<Expression> expression = ParseExpression(input); expression.ok())
      Evaluate(*expression);
  }
  return 0;
}
