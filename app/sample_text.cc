#include "app/sample_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "observe/terminal_text.h"

namespace ponder {
namespace {

constexpr int64_t kMargin = 11;
constexpr std::string_view kReset = "\033[0m";

// Colours of tokens by probability, the likeliest first.
struct Heat {
  double least;  // probability
  std::string_view colour;
  std::string_view words;
};
constexpr Heat kHeats[] = {{0.9, "", "above 0.9"},
                           {0.5, "\033[38;5;179m", "above 0.5"},
                           {0.1, "\033[38;5;208m", "above 0.1"},
                           {0.01, "\033[38;5;203m", "above 0.01"},
                           {0, "\033[1;38;5;197m", "below"}};

std::string_view HeatOf(float logprob) {
  const double probability = std::exp(static_cast<double>(logprob));
  for (const Heat& heat : kHeats) {
    if (probability >= heat.least) return heat.colour;
  }
  return kHeats[std::size(kHeats) - 1].colour;
}

// Text that cannot steer a terminal and whose columns are known: tabs are spaces.
std::string Clean(std::string_view text) {
  std::string clean;
  for (const char c : WithoutControls(text)) {
    if (c == '\t') {
      clean += "    ";
    } else {
      clean += c;
    }
  }
  return clean;
}

// A text with a colour for each of its bytes.
struct ColouredText {
  std::string text;
  std::vector<std::string_view> colours;

  void Add(std::string_view piece, std::string_view colour) {
    text += piece;
    colours.resize(text.size(), colour);
  }
};

// Whether the last character of `text` is only begun.
bool EndsInsideCharacter(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(text.size(), 3); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back;
  }
  return false;
}

// The tokens' text; a character that several tokens make up stands at its last one.
ColouredText TokensOf(const Completion& completion, const std::vector<std::string>& vocabulary) {
  ColouredText out;
  std::string open;
  for (size_t t = 0; t < completion.token_ids.size(); ++t) {
    const auto id = static_cast<size_t>(completion.token_ids[t]);
    open += id < vocabulary.size() ? vocabulary[id] : "?";
    if (EndsInsideCharacter(open) && t + 1 < completion.token_ids.size()) continue;
    const bool sampled = t < completion.sampled_mask.size() && completion.sampled_mask[t] != 0;
    out.Add(Clean(open), sampled && t < completion.logprobs.size() ? HeatOf(completion.logprobs[t])
                                                                   : std::string_view());
    open.clear();
  }
  return out;
}

class Page {
 public:
  Page(int64_t columns, bool colours)
      : room_(std::max<int64_t>(columns - 1 - kMargin, 8)), colours_(colours) {}

  void Row(std::string_view word, std::string_view text, std::string_view colour = "") {
    ColouredText coloured;
    coloured.Add(Clean(text), colour);
    Row(word, coloured);
  }

  void Row(std::string_view word, const ColouredText& coloured) {
    std::string_view text = coloured.text;
    while (text.ends_with('\n')) text.remove_suffix(1);
    size_t at = 0;
    for (const std::string& line : WrapLines(text, room_)) {
      out_ += Wear(fmt::format("{:<{}}", word, kMargin), "\033[2m");
      for (size_t i = 0; i < line.size();) {
        size_t end = i;
        const std::string_view colour = coloured.colours[at + i];
        while (end < line.size() && coloured.colours[at + end] == colour) ++end;
        out_ += Wear(line.substr(i, end - i), colour);
        i = end;
      }
      out_ += '\n';
      word = "";
      at += line.size();
      // A wrapped line has lost the space or the line end at which it was broken.
      if (at < text.size() && (text[at] == ' ' || text[at] == '\n')) ++at;
    }
  }

  void Title(std::string_view text) { out_ += Wear(text, "\033[1m") + "\n"; }
  std::string Take() { return std::move(out_); }

 private:
  std::string Wear(std::string_view text, std::string_view colour) const {
    if (!colours_ || colour.empty() || text.empty()) return std::string(text);
    return fmt::format("{}{}{}", colour, text, kReset);
  }

  std::string out_;
  const int64_t room_;
  const bool colours_;
};

struct Summary {
  double mean = 0;
  size_t least = 0, greatest = 0;  // positions
};
// Over the sampled tokens; none where there are none.
std::optional<Summary> Summarize(const std::vector<float>& values,
                                 const std::vector<uint8_t>& mask) {
  Summary summary;
  int64_t count = 0;
  for (size_t t = 0; t < values.size(); ++t) {
    if (t >= mask.size() || mask[t] == 0 || !std::isfinite(values[t])) continue;
    if (count == 0) summary.least = summary.greatest = t;
    if (values[t] < values[summary.least]) summary.least = t;
    if (values[t] > values[summary.greatest]) summary.greatest = t;
    summary.mean += values[t];
    ++count;
  }
  if (count == 0) return std::nullopt;
  summary.mean /= static_cast<double>(count);
  return summary;
}

std::string TokenName(const Completion& completion, size_t t,
                      const std::vector<std::string>* vocabulary) {
  const auto id = static_cast<size_t>(completion.token_ids[t]);
  if (vocabulary == nullptr || id >= vocabulary->size()) return fmt::format("token {}", t);
  return fmt::format("token {}, \"{}\"", t, OneLine((*vocabulary)[id]));
}

std::string RewardWords(const Reward& reward) {
  std::string parts;
  for (const auto& [name, value] : reward.parts) {
    parts += fmt::format("{}{} {:.3g}", parts.empty() ? " = " : " + ", name, value);
  }
  return fmt::format("{:.3g}{}", reward.total, parts);
}

std::string VersionWords(const Completion& completion) {
  if (completion.versions.empty()) return "";
  const int64_t first = completion.versions.front().version;
  const int64_t last = completion.versions.back().version;
  if (first == last) return fmt::format(", policy version {}", first);
  return fmt::format(", policy versions {} to {}", first, last);
}

std::string FinishWords(FinishReason finish) {
  switch (finish) {
    case FinishReason::kStop:
      return "ended by itself";
    case FinishReason::kLength:
      return "cut at the length limit";
    default:
      return std::string(ToString(finish));
  }
}

std::string VerdictWords(const Verdict& verdict) {
  std::string words(ToString(verdict.status));
  if (!verdict.extracted.empty()) words += fmt::format(", found {}", OneLine(verdict.extracted));
  if (!verdict.reason.empty()) words += fmt::format(": {}", OneLine(verdict.reason));
  return words;
}

}  // namespace

std::string SampleText(const StoredCompletion& stored, const SampleTextOptions& options) {
  const Completion& completion = stored.completion;
  const auto* const vocabulary =
      options.vocabulary == nullptr || options.vocabulary->empty() ? nullptr : options.vocabulary;
  Page page(options.columns, options.colours);
  page.Title(fmt::format("sample {}, {} step {}, task {}", stored.rowid, OneLine(stored.phase),
                         stored.step, OneLine(stored.task.id)));
  if (options.prompt) {
    page.Row("prompt", stored.prompt);
  } else {
    page.Row("question", stored.task.question);
  }
  page.Row("gold", stored.task.gold);
  if (options.colours && vocabulary != nullptr) {
    page.Row("answer", TokensOf(completion, *vocabulary));
  } else {
    page.Row("answer", completion.text);
  }
  page.Row("verdict", VerdictWords(stored.verdict),
           stored.verdict.status == VerdictStatus::kCorrect ? "\033[32m" : "\033[31m");
  std::string parts;
  for (const auto& [name, value] : stored.verdict.parts) {
    parts += fmt::format("{}{} {:.3g}", parts.empty() ? "" : ", ", name, value);
  }
  if (!parts.empty()) page.Row("parts", parts);
  page.Row("reward",
           fmt::format("{}; advantage {:+.3f}", RewardWords(stored.reward), stored.advantage));
  page.Row("tokens", fmt::format("{}, {}{}, temperature {:g}", completion.token_ids.size(),
                                 FinishWords(completion.finish), VersionWords(completion),
                                 stored.temperature));
  if (const auto summary = Summarize(completion.logprobs, completion.sampled_mask)) {
    page.Row("log-probs", fmt::format("mean {:.3f}, least {:.2f} ({})", summary->mean,
                                      completion.logprobs[summary->least],
                                      TokenName(completion, summary->least, vocabulary)));
  }
  if (const auto summary = Summarize(completion.entropies, completion.sampled_mask)) {
    page.Row("entropy", fmt::format("mean {:.3f}, most {:.2f} ({})", summary->mean,
                                    completion.entropies[summary->greatest],
                                    TokenName(completion, summary->greatest, vocabulary)));
  }
  const int64_t clipped =
      std::ranges::count_if(stored.clips, [](int8_t clip) { return clip != 0; });
  if (clipped > 0) page.Row("clipped", fmt::format("{} tokens", clipped));
  return page.Take();
}

std::string ColourLegend(const SampleTextOptions& options) {
  if (!options.colours || options.vocabulary == nullptr || options.vocabulary->empty()) return "";
  std::string legend = "tokens by probability:";
  for (const Heat& heat : kHeats) {
    legend += fmt::format(" {}{}{}", heat.colour, heat.words, heat.colour.empty() ? "" : kReset);
  }
  return legend + "\n";
}

}  // namespace ponder
