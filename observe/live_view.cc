#include "observe/live_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace ponder {
namespace {

constexpr int64_t kBarCells = 20;
constexpr int64_t kMargin = 8;            // columns of the words at the left
constexpr int64_t kMostSparkCells = 100;  // more is no easier to read
constexpr int64_t kAnswerLines = 2;
constexpr int64_t kRowsForSteps = 6;  // of the terminal, that stay for lines of steps

constexpr std::string_view kPlain = "";
constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kGreen = "\033[32m";
constexpr std::string_view kRed = "\033[31m";
constexpr std::string_view kBlue = "\033[34m";

// A line made of pieces, cut where the columns end.
class LineBuilder {
 public:
  LineBuilder(int64_t columns, bool colours) : left_(columns), colours_(colours) {}

  LineBuilder& Add(std::string_view text, std::string_view colour = kPlain) {
    text = FirstColumns(text, left_);
    left_ -= TextColumns(text);
    const bool coloured = colours_ && !colour.empty();
    if (coloured) line_ += colour;
    line_ += text;
    if (coloured) line_ += "\033[0m";
    return *this;
  }
  LineBuilder& Margin(std::string_view word) {
    return Add(fmt::format("{:<{}}", word, kMargin), kDim);
  }
  int64_t Left() const { return left_; }
  std::string Line() { return std::move(line_); }

 private:
  std::string line_;
  int64_t left_;
  const bool colours_;
};

const double* Find(const Metrics& metrics, const std::string& name) {
  const auto found = metrics.find(name);
  return found == metrics.end() ? nullptr : &found->second;
}

std::string Rewards(const std::vector<double>& rewards, LineBuilder line) {
  const std::string ends = fmt::format("  {:.2f} to {:.2f}", rewards.front(), rewards.back());
  line.Margin("reward");
  const int64_t cells = std::min(kMostSparkCells, line.Left() - TextColumns(ends));
  return line.Add(Sparkline(rewards, cells), kBlue).Add(ends).Line();
}

std::string PhaseTimes(const Metrics& last) {
  std::string text;
  const std::pair<const char*, const char*> phases[] = {{"time/generate_s", "generate"},
                                                        {"time/wait_for_verdicts_s", "verdicts"},
                                                        {"time/learn_s", "learn"},
                                                        {"time/publish_s", "publish"}};
  for (const auto& [name, word] : phases) {
    const double* const seconds = Find(last, name);
    // What takes no time worth a word is left out.
    if (seconds == nullptr || !(*seconds >= 0.05)) continue;
    text += fmt::format("{}{} {:.1f} s", text.empty() ? "" : ", ", word, *seconds);
  }
  return text;
}

// The answer's end, where its result stands.
std::vector<std::string> AnswerEnd(std::string_view text, int64_t columns) {
  std::vector<std::string> lines = WrapLines(OneLine(text), columns);
  if (static_cast<int64_t>(lines.size()) > kAnswerLines) {
    lines.erase(lines.begin(), lines.end() - kAnswerLines);
    lines[0] = ShortenFront("…" + lines[0], columns);
  }
  return lines;
}

std::string_view VerdictColour(VerdictStatus status) {
  return status == VerdictStatus::kCorrect ? kGreen : kRed;
}

}  // namespace

std::vector<std::string> LayOutLiveView(const LiveView& view, TerminalSize size, bool colours) {
  const auto begin = [&] { return LineBuilder(std::max<int64_t>(size.columns - 1, 1), colours); };
  std::vector<std::string> lines;
  if (view.rewards.size() > 1) lines.push_back(Rewards(view.rewards, begin()));
  if (const std::string times = PhaseTimes(view.last); !times.empty()) {
    lines.push_back(begin().Margin("step").Add(times).Line());
  }
  if (view.sample.has_value()) {
    const ConsoleSample& sample = *view.sample;
    LineBuilder question = begin();
    question.Margin("sample");
    const int64_t room = question.Left();
    lines.push_back(question.Add(Shorten(OneLine(sample.question), room)).Line());
    for (const std::string& text : AnswerEnd(sample.text, std::max<int64_t>(room, 1))) {
      lines.push_back(begin().Margin("").Add(text, kDim).Line());
    }
    lines.push_back(begin()
                        .Margin("")
                        .Add(ToString(sample.status), VerdictColour(sample.status))
                        .Add(fmt::format(", reward {:.2f}, step {}", sample.reward, sample.step))
                        .Line());
  }
  // A small terminal is left to the lines of the steps.
  if (static_cast<int64_t>(lines.size()) + kRowsForSteps > size.rows) lines.clear();
  if (view.total <= 0) return lines;
  LineBuilder bar = begin();
  bar.Add(WithoutControls(view.label));
  if (view.total > 1) {
    const int64_t filled = std::clamp<int64_t>(view.done, 0, view.total) * kBarCells / view.total;
    std::string cells;
    for (int64_t i = 0; i < kBarCells; ++i) cells += i < filled ? "▇" : "░";
    bar.Add("  ").Add(cells, kGreen).Add(fmt::format("  {}/{}", view.done, view.total));
  }
  if (const double* const left = Find(view.last, "time/left_s"); left && std::isfinite(*left)) {
    bar.Add(fmt::format("  {} left", HumanDuration(*left)));
  }
  lines.push_back(bar.Line());
  return lines;
}

}  // namespace ponder
