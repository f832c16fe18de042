#include "observe/console.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "observe/terminal_text.h"

namespace ponder {
namespace {

class TerminalConsole : public Console {
 public:
  TerminalConsole(std::FILE* out, const std::string& log_path, ConsoleView view)
      : out_(out),
        is_live_(view == ConsoleView::kLive && IsLiveTerminal(out)),
        has_colours_(WantsColour(out)) {
    if (log_path.empty()) return;
    log_ = std::fopen(log_path.c_str(), "ae");
    if (log_ == nullptr) {
      Warn(fmt::format("cannot write the log {}: {}", log_path, std::strerror(errno)));
    }
  }
  ~TerminalConsole() override {
    absl::MutexLock lock(&mutex_);
    view_ = LiveView();
    Redraw();
    if (log_ != nullptr) std::fclose(log_);
  }

  void Say(const std::string& line) override { Write(line, "", ""); }
  void Warn(const std::string& line) override { Write(line, "warning: ", "\033[33m"); }

  void Progress(const std::string& label, int64_t done, int64_t total) override {
    absl::MutexLock lock(&mutex_);
    const bool ended = done >= total;
    view_.label = ended ? "" : label;
    view_.done = ended ? 0 : done;
    view_.total = ended ? 0 : total;
    Redraw();
  }

  void EndStep(int64_t step, int64_t steps, const Metrics& metrics) override {
    {
      absl::MutexLock lock(&mutex_);
      view_.last = metrics;
      if (const auto reward = metrics.find("reward/mean"); reward != metrics.end()) {
        view_.rewards.push_back(reward->second);
      }
    }
    Console::EndStep(step, steps, metrics);
  }

  void SetRewards(const std::vector<double>& rewards) override {
    absl::MutexLock lock(&mutex_);
    view_.rewards = rewards;
    Redraw();
  }

  void ShowSample(const ConsoleSample& sample) override {
    absl::MutexLock lock(&mutex_);
    view_.sample = sample;
    Redraw();
  }

 private:
  void Write(std::string_view line, std::string_view prefix, std::string_view colour) {
    const std::string text = fmt::format("{}{}", prefix, WithoutControls(line));
    absl::MutexLock lock(&mutex_);
    const bool coloured = has_colours_ && !colour.empty();
    Put(coloured ? fmt::format("{}{}\033[0m\n", colour, text) : text + "\n");
    if (log_ == nullptr) return;
    fmt::print(log_, "{} {}\n",
               absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", RealClock().Now(), absl::UTCTimeZone()),
               text);
    std::fflush(log_);
  }

  // The lines in the view's place and the view below them: in one write, so that it does not
  // flicker.
  void Put(std::string_view lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::string bytes = Erase();
    bytes += lines;
    bytes += Draw();
    std::fwrite(bytes.data(), 1, bytes.size(), out_);
    std::fflush(out_);
  }

  void Redraw() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!is_live_) return;
    const TerminalSize size = SizeOfTerminal(out_);
    if (LayOutLiveView(view_, size, has_colours_) == drawn_) return;
    Put("");
  }

  // The cursor is left where the view begins, so that all from there on can be erased whatever
  // became of it: some terminals wrap lines anew when they are made narrower, some cut them off.
  std::string Erase() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::exchange(drawn_, {}).empty() ? "" : "\r\033[J";
  }

  std::string Draw() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!is_live_) return "";
    drawn_ = LayOutLiveView(view_, SizeOfTerminal(out_), has_colours_);
    if (drawn_.empty()) return "";
    // A terminal that was made narrower just now must not wrap what is drawn: the way back up would
    // be longer.
    const int64_t up = std::ssize(drawn_) - 1;
    return fmt::format("\033[?7l{}\033[?7h\r{}", fmt::join(drawn_, "\n"),
                       up > 0 ? fmt::format("\033[{}A", up) : "");
  }

  std::FILE* const out_;
  const bool is_live_, has_colours_;
  std::FILE* log_ = nullptr;  // appended to, line by line
  absl::Mutex mutex_;
  LiveView view_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> drawn_ ABSL_GUARDED_BY(mutex_);  // the last lines of the terminal
};

// Terms of the reward with their short names: correctness and form first.
std::vector<std::pair<std::string, std::string>> RewardParts(const Metrics& metrics) {
  constexpr std::string_view kPrefix = "reward/";
  std::vector<std::pair<std::string, std::string>> parts = {{"reward/correct", "correct"},
                                                            {"reward/format", "format"}};
  for (auto it = metrics.lower_bound(std::string(kPrefix));
       it != metrics.end() && it->first.starts_with(kPrefix); ++it) {
    const std::string word = it->first.substr(kPrefix.size());
    if (word != "mean" && word != "std" && word != "correct" && word != "format") {
      parts.emplace_back(it->first, word);
    }
  }
  return parts;
}

}  // namespace

void Console::EndStep(int64_t step, int64_t steps, const Metrics& metrics) {
  Say(FormatStepLine(step, steps, metrics));
}

std::unique_ptr<Console> CreateConsole(std::FILE* out, const std::string& log_path,
                                       ConsoleView view) {
  return std::make_unique<TerminalConsole>(out, log_path, view);
}

std::string FormatStepLine(int64_t step, int64_t steps, const Metrics& metrics) {
  std::string line = fmt::format("step {}/{}", step, steps);
  const auto find = [&](const std::string& name) -> const double* {
    const auto found = metrics.find(name);
    return found == metrics.end() ? nullptr : &found->second;
  };
  // Words in brackets for those of the (metric, word) that are there.
  const auto details = [&](const std::vector<std::pair<std::string, std::string>>& parts,
                           const auto& format) {
    std::string text;
    for (const auto& [name, word] : parts) {
      if (const double* value = find(name)) {
        text += fmt::format("{}{} {}", text.empty() ? " (" : ", ", word, format(*value));
      }
    }
    return text.empty() ? text : text + ")";
  };
  const auto score = [](double value) { return fmt::format("{:.2f}", value); };
  const auto share = [](double value) { return fmt::format("{:.0f} %", 100 * value); };

  if (const double* value = find("reward/mean")) {
    line += "  reward " + score(*value) + details(RewardParts(metrics), score);
  }
  if (const double* value = find("loss/supervised")) line += fmt::format("  loss {:.3f}", *value);
  if (const double* value = find("length/mean")) line += fmt::format("  length {:.0f}", *value);
  if (const double* value = find("groups/useful")) {
    line += "  useful " + share(*value) +
            details({{"groups/all_right", "all right"}, {"groups/all_wrong", "all wrong"}}, share);
  }
  if (const double* value = find("policy/entropy")) line += "  entropy " + score(*value);
  if (const double* value = find("optimizer/gradient_norm")) {
    line += fmt::format("  grad {:.2g}", *value);
  }
  if (const double* value = find("speed/generate_tokens_per_s")) {
    line += fmt::format("  gen {:.0f} tok/s", *value);
  }
  if (const double* value = find("speed/learn_tokens_per_s")) {
    line += fmt::format("  learn {:.0f} tok/s", *value);
  }
  // What should be zero is only said where it is not; NaN is not zero either.
  if (const double* value = find("exactness/logprob_max_abs_diff"); value && *value != 0) {
    line += fmt::format("  NOT EXACT {:.1e}", *value);
  }
  if (const double* value = find("dropped/total"); value && *value != 0) {
    line += fmt::format("  dropped {:.0f}", *value);
  }
  if (const double* value = find("optimizer/skipped_updates"); value && *value != 0) {
    line += fmt::format("  skipped updates {:.0f}", *value);
  }
  if (const double* value = find("time/left_s")) line += "  left " + HumanDuration(*value);
  return line;
}

}  // namespace ponder
