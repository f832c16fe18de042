#include "observe/console.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace ponder {
namespace {

constexpr int kBarCells = 20;
constexpr int kDefaultColumns = 80;  // where the terminal does not say

// Lines may hold text that a model wrote: nothing in it may steer the terminal.
std::string WithoutControls(std::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  return clean;
}

// The first `columns` characters of UTF-8 text, one column each.
std::string_view Clip(std::string_view text, int columns) {
  int seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80 && seen++ == columns) return text.substr(0, i);
  }
  return text;
}

class TerminalConsole : public Console {
 public:
  TerminalConsole(std::FILE* out, const std::string& log_path)
      : out_(out), is_terminal_(isatty(fileno(out)) != 0) {
    if (log_path.empty()) return;
    log_ = std::fopen(log_path.c_str(), "ae");
    if (log_ == nullptr) {
      Warn(fmt::format("cannot write the log {}: {}", log_path, std::strerror(errno)));
    }
  }
  ~TerminalConsole() override {
    absl::MutexLock lock(&mutex_);
    RemoveBar();
    if (log_ != nullptr) std::fclose(log_);
  }

  void Say(const std::string& line) override { Write(line, "", ""); }
  void Warn(const std::string& line) override { Write(line, "warning: ", "\033[33m"); }

  void Progress(const std::string& label, int64_t done, int64_t total) override {
    if (!is_terminal_) return;
    absl::MutexLock lock(&mutex_);
    if (done >= total) {
      RemoveBar();
      return;
    }
    const int64_t filled = std::clamp<int64_t>(done, 0, total) * kBarCells / total;
    std::string bar = WithoutControls(label) + "  ";
    for (int64_t i = 0; i < kBarCells; ++i) bar += i < filled ? "▇" : "░";
    bar += fmt::format("  {}/{}", done, total);
    bar = Clip(bar, Columns() - 1);
    if (bar == bar_) return;
    bar_ = bar;
    std::fprintf(out_, "\r\033[K%s", bar.c_str());
    std::fflush(out_);
  }

 private:
  void Write(std::string_view line, std::string_view prefix, std::string_view colour) {
    const std::string text = fmt::format("{}{}", prefix, WithoutControls(line));
    absl::MutexLock lock(&mutex_);
    RemoveBar();
    if (is_terminal_ && !colour.empty()) {
      fmt::print(out_, "{}{}\033[0m\n", colour, text);
    } else {
      fmt::print(out_, "{}\n", text);
    }
    std::fflush(out_);
    if (log_ == nullptr) return;
    fmt::print(log_, "{} {}\n",
               absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", RealClock().Now(), absl::UTCTimeZone()),
               text);
    std::fflush(log_);
  }

  void RemoveBar() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (bar_.empty()) return;
    bar_.clear();
    std::fputs("\r\033[K", out_);
    std::fflush(out_);
  }

  int Columns() const {
    winsize size{};
    if (ioctl(fileno(out_), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultColumns;
    return size.ws_col;
  }

  std::FILE* const out_;
  const bool is_terminal_;
  std::FILE* log_ = nullptr;  // appended to, line by line
  absl::Mutex mutex_;
  std::string bar_ ABSL_GUARDED_BY(mutex_);  // what stands in the last line; empty: no bar
};

std::string Duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e9) + 0.5);
  if (whole < 90) return fmt::format("{} s", whole);
  const int64_t minutes = (whole + 30) / 60;
  if (minutes < 120) return fmt::format("{} min", minutes);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

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

std::unique_ptr<Console> CreateConsole(std::FILE* out, const std::string& log_path) {
  return std::make_unique<TerminalConsole>(out, log_path);
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
  if (const double* value = find("time/left_s")) line += "  left " + Duration(*value);
  return line;
}

}  // namespace ponder
