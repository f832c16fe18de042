#include "model/pre_tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "model/split_pattern.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::vector<Stretch> CutAtDigits(std::string_view text) {
  std::vector<Stretch> stretches;
  size_t covered = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    if (!IsNumber(NextCodePoint(text, &i))) continue;
    if (covered < begin) stretches.push_back({covered, begin, false});
    stretches.push_back({begin, i, true});
    covered = i;
  }
  if (covered < text.size()) stretches.push_back({covered, text.size(), false});
  return stretches;
}

// Neighbours for which `joins(stretch, previous)` holds become one. The rules look at the stretch
// before, or behind, in the list as cut, whatever became of that one.
template <typename Joins>
std::vector<Stretch> Join(const std::vector<Stretch>& stretches, const Joins& joins) {
  std::vector<Stretch> joined;
  bool previous = false;
  for (const Stretch& stretch : stretches) {
    if (joins(stretch.is_match, previous) && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, stretch.begin);
      joined.back().end = std::max(joined.back().end, stretch.end);
    } else {
      joined.push_back(stretch);
    }
    previous = stretch.is_match;
  }
  return joined;
}

std::vector<Stretch> Arrange(std::vector<Stretch> stretches, SplitBehavior behavior) {
  const auto is_first_match = [](bool is_match, bool previous) { return is_match && !previous; };
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return stretches;
    case SplitBehavior::kRemoved:
      std::erase_if(stretches, [](const Stretch& stretch) { return stretch.is_match; });
      return stretches;
    case SplitBehavior::kContiguous:
      return Join(stretches, [](bool is_match, bool previous) { return is_match == previous; });
    case SplitBehavior::kMergedWithPrevious:
      return Join(stretches, is_first_match);
    case SplitBehavior::kMergedWithNext: {
      std::reverse(stretches.begin(), stretches.end());
      std::vector<Stretch> joined = Join(stretches, is_first_match);
      std::reverse(joined.begin(), joined.end());
      return joined;
    }
  }
  return stretches;
}

struct CompiledStep {
  PreTokenizerStep step;
  std::optional<SplitPattern> pattern;
};

std::vector<Stretch> CutByStep(const CompiledStep& compiled, std::string_view text) {
  const PreTokenizerStep& step = compiled.step;
  switch (step.kind) {
    case PreTokenizerStep::Kind::kDigits:
      return Arrange(CutAtDigits(text), step.individual_digits ? SplitBehavior::kIsolated
                                                               : SplitBehavior::kContiguous);
    case PreTokenizerStep::Kind::kByteLevel:
      if (!step.use_regex) return {{0, text.size(), false}};
      return compiled.pattern->Cut(text);
    case PreTokenizerStep::Kind::kSplit: {
      std::vector<Stretch> stretches = compiled.pattern->Cut(text);
      if (step.invert) {
        for (Stretch& stretch : stretches) stretch.is_match = !stretch.is_match;
      }
      return Arrange(std::move(stretches), step.behavior);
    }
  }
  return {};
}

// Every word that does not begin with a space gets one.
void AddPrefixSpaces(Words* words) {
  std::string text;
  text.reserve(words->text.size() + words->spans.size());
  for (size_t i = 0; i < words->spans.size(); ++i) {
    const std::string_view word = words->Word(i);
    const size_t begin = text.size();
    if (!word.starts_with(' ')) text += ' ';
    text += word;
    words->spans[i] = {begin, text.size()};
  }
  words->text = std::move(text);
}

class StepSequence : public PreTokenizer {
 public:
  explicit StepSequence(std::vector<CompiledStep> steps) : steps_(std::move(steps)) {}

  Words Split(std::string_view text) const override {
    Words words{std::string(text), {}};
    if (!text.empty()) words.spans.push_back({0, text.size()});
    for (const CompiledStep& compiled : steps_) {
      if (compiled.step.add_prefix_space) AddPrefixSpaces(&words);
      std::vector<Words::Span> spans;
      spans.reserve(words.spans.size());
      for (size_t i = 0; i < words.spans.size(); ++i) {
        const size_t offset = words.spans[i].begin;
        for (const Stretch& stretch : CutByStep(compiled, words.Word(i))) {
          if (stretch.begin < stretch.end)
            spans.push_back({offset + stretch.begin, offset + stretch.end});
        }
      }
      words.spans = std::move(spans);
    }
    return words;
  }

 private:
  std::vector<CompiledStep> steps_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PreTokenizer>> CreatePreTokenizer(
    const std::vector<PreTokenizerStep>& steps) {
  if (steps.empty() || steps.back().kind != PreTokenizerStep::Kind::kByteLevel) {
    return InvalidArgument(
        "pre_tokenizer: expected ByteLevel as its last step; only byte-level tokenizers are "
        "supported");
  }
  std::vector<CompiledStep> compiled;
  for (size_t i = 0; i < steps.size(); ++i) {
    const PreTokenizerStep& step = steps[i];
    const bool is_byte_level = step.kind == PreTokenizerStep::Kind::kByteLevel;
    if (is_byte_level && i + 1 < steps.size()) {
      return InvalidArgument("pre_tokenizer: steps behind ByteLevel are not supported");
    }
    compiled.push_back({step, std::nullopt});
    if (step.kind == PreTokenizerStep::Kind::kSplit && step.is_literal) {
      PONDER_ASSIGN_OR_RETURN(compiled.back().pattern, SplitPattern::CompileLiteral(step.pattern));
    } else if (step.kind == PreTokenizerStep::Kind::kSplit) {
      absl::StatusOr<SplitPattern> pattern = SplitPattern::Compile(step.pattern);
      if (!pattern.ok()) return Annotate(pattern.status(), "pre_tokenizer: Split");
      compiled.back().pattern = *std::move(pattern);
    } else if (is_byte_level && step.use_regex) {
      PONDER_ASSIGN_OR_RETURN(compiled.back().pattern, SplitPattern::Compile(kGpt2Pattern));
    }
  }
  return std::make_unique<StepSequence>(std::move(compiled));
}

}  // namespace ponder
