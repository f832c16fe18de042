#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// How a completion marked its answer.
enum class AnswerForm {
  kNone,
  kBox,        // \boxed{...} or \fbox{...}
  kAnswerTag,  // <answer>...</answer>
  kHashes,     // #### ... to the end of the line, as in GSM8K
  kPhrase,     // "the final answer is ...", "Answer: ..."
};

struct MarkedAnswer {
  AnswerForm form = AnswerForm::kNone;
  std::string_view text;  // what stands in the form; a view into the completion
  std::string problem;    // the form was found but is broken: it was never closed, or several boxes
                          // are joined
  std::vector<std::string_view> joined;  // the contents of joined boxes, in their order
};

// Boxes with more than connectives ("and", commas) between them count as joined where they are this
// near to one another, in one sentence.
enum class JoinBoxes { kByConnectives, kByFewWords };

// The forms that count.
struct AnswerAnchors {
  bool box = true, tag = true, hashes = true, phrase = true;
};

// "box", "tag", "hashes", "phrase", with commas between: at least one. INVALID_ARGUMENT names what
// it does not know.
absl::StatusOr<AnswerAnchors> ParseAnswerAnchors(std::string_view names);

// The last answer that the completion marks by one of the `anchors`. Thoughts do not count: only
// what follows the last
// </think>, or what precedes an unfinished <think>. Among box, tag and hashes the last one decides,
// even where it is broken; a phrase counts only where there is none of these. A box inside an
// answer tag is the tag's content. Linear in the text.
MarkedAnswer FindMarkedAnswer(std::string_view completion,
                              JoinBoxes join = JoinBoxes::kByConnectives,
                              const AnswerAnchors& anchors = {});

// What is left when thoughts are taken away.
std::string_view OutsideThoughts(std::string_view completion);

// The last number outside thoughts: for evaluation of models that mark nothing.
std::optional<std::string_view> FindLastNumber(std::string_view completion);

// Whether the completion kept to a form that a prompt asks for: a closed box, answer tag or ####
// line, and tags, where it uses any, in R1's order: thoughts ended by exactly one </think> (the
// opening <think> first, or given by the prompt); an <answer> right behind, once, with nothing
// after it. A phrase is no such form.
bool KeepsForm(std::string_view completion, const MarkedAnswer& answer);

}  // namespace ponder
