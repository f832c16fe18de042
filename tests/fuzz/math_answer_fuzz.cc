// Any two texts are read and compared, never with a crash and twice with the same outcome.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/math/answer_check.h"

std::vector<std::string> FuzzSeeds() {
  using namespace std::string_literals;
  return {
      "(1, 2) \\cup [3, \\infty)\0x < 2 \\text{ or } x \\ge 3"s,
      "\\{1, 2\\pm\\sqrt{3}\\}\0p = 5, q = 2; p = 7, q = 2"s,
      "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}^T\0\\left[\\begin{array}{cc}1&3\\\\2&4\\end{array}\\right]"s,
      "2\\frac{1}{2} \\text{ cm}^2\0 28\\% of 1,234{,}567.5e3"s,
      "|x-1|<2\0\\log_2 8 + \\sin^2 30^\\circ - \\binom{10}{3}! + 204_5"s};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder::math;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = std::min(input.find('\0'), input.size());
  const std::string_view gold = input.substr(0, split);
  const std::string_view answer = input.substr(std::min(split + 1, input.size()));
  RationalAlgebra algebra;
  const AnswerCheck first = CheckAnswer(gold, answer, {.lenient = true}, algebra);
  const AnswerCheck second = CheckAnswer(gold, answer, {.lenient = true}, algebra);
  PONDER_CHECK(first.outcome == second.outcome);
  return 0;
}
