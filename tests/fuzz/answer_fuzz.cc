// Any completion: what is found as its answer, in each way of looking, is a part of the text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "verifiers/answer.h"
#include "verifiers/loose_answer.h"

namespace {

using namespace ponder;

bool IsPart(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void CheckMarked(std::string_view completion, JoinBoxes join) {
  const std::string_view outside = OutsideThoughts(completion);
  const MarkedAnswer answer = FindMarkedAnswer(completion, join);
  PONDER_CHECK(IsPart(answer.text, outside));
  PONDER_CHECK(answer.form != AnswerForm::kNone ||
               (answer.text.empty() && answer.problem.empty() && answer.joined.empty()));
  // Joined boxes are a problem for who wants one answer, and the last is the text.
  PONDER_CHECK(
      answer.joined.empty() ||
      (answer.joined.size() > 1 && answer.joined.back() == answer.text && !answer.problem.empty()));
  PONDER_CHECK(std::all_of(answer.joined.begin(), answer.joined.end(),
                           [&](std::string_view content) { return IsPart(content, outside); }));
  if (KeepsForm(completion, answer)) {
    PONDER_CHECK(answer.problem.empty() && answer.form != AnswerForm::kNone &&
                 answer.form != AnswerForm::kPhrase);
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {"<think> 3 + 4 = 7 </think> <answer>\\boxed{7}</answer>",
          "\\boxed{1} or $\\fbox{2}$, and \\boxed 5 \\boxed{\\frac{1}{2}\\}}",
          "#### Step 3\n#### -1,234.5\nThe final **answer is**: $x$. Answer: 5. 7",
          "So **4** or $$\\frac12$$, \\(x\\) \\[y\\] \\begin{align*}1.5\\end{align*} costs $5 now",
          "It is 7-5 = 2, or -3/4%, or ..5 <answer>1</answer> <answer>",
          "</think><think>answer:"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view completion(reinterpret_cast<const char*>(data), size);
  const std::string_view outside = OutsideThoughts(completion);
  PONDER_CHECK(IsPart(outside, completion) && outside.find("</think>") == outside.npos);
  CheckMarked(completion, JoinBoxes::kByConnectives);
  CheckMarked(completion, JoinBoxes::kByFewWords);
  if (const auto number = FindLastNumber(completion)) {
    PONDER_CHECK(IsPart(*number, outside) && number->find_first_of("0123456789") != number->npos);
  }
  for (const std::string_view answer : FindLooseAnswers(outside)) {
    PONDER_CHECK(!answer.empty() && IsPart(answer, outside));
  }
  return 0;
}
