#include "observe/sample_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/utf8.h"

namespace ponder {
namespace {

// Together with what stands around them below kMaxSampleBytes.
constexpr size_t kPromptBytes = 2048;
constexpr size_t kCompletionBytes = 5120;
constexpr size_t kFieldBytes = 240;

// Text is let have shorter runs of backticks only, so that no line of it ends a block.
constexpr std::string_view kFence = "`````````";

// Where a character begins at or before `position`.
size_t Boundary(std::string_view text, size_t position) {
  while (position > 0 && position < text.size() &&
         (static_cast<unsigned char>(text[position]) & 0xc0) == 0x80) {
    --position;
  }
  return position;
}

std::string Clean(std::string_view text, size_t limit) {
  std::string clean;
  size_t backticks = 0;
  for (const char c : ToValidUtf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) continue;
    backticks = c == '`' ? backticks + 1 : 0;
    if (backticks < kFence.size()) clean += c;
  }
  if (clean.size() <= limit) return clean;
  const size_t head = Boundary(clean, limit / 2);
  const size_t tail = Boundary(clean, clean.size() - limit / 2);
  return fmt::format("{} [... {} bytes ...] {}", clean.substr(0, head), tail - head,
                     clean.substr(tail));
}

std::string Line(std::string_view text) {
  std::string line = Clean(text, kFieldBytes);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

std::string Block(std::string_view text) {
  return fmt::format("{}\n{}\n{}\n\n", kFence, text, kFence);
}

}  // namespace

SamplePick PickSamples(int64_t step, std::span<const ScoredGroup> groups) {
  SamplePick pick;
  const auto reward = [](const Reward& a, const Reward& b) { return a.total < b.total; };
  for (size_t i = 0; i < groups.size(); ++i) {
    const ScoredGroup& group = groups[(static_cast<size_t>(step) + i) % groups.size()];
    if (group.rewards.empty()) continue;
    const auto [worst, best] =
        std::minmax_element(group.rewards.begin(), group.rewards.end(), reward);
    const bool differ = worst->total < best->total;
    if (pick.group != nullptr && !differ) continue;
    pick = {.group = &group,
            .best = static_cast<size_t>(best - group.rewards.begin()),
            .worst = static_cast<size_t>(worst - group.rewards.begin())};
    if (differ) break;
  }
  return pick;
}

std::string SampleMarkdown(const ScoredGroup& group, size_t index) {
  const Task& task = group.group.task;
  const Completion& completion = group.group.completions[index];
  const Verdict& verdict = group.verdicts[index];
  const Reward& reward = group.rewards[index];
  std::string parts;
  for (const auto& [name, value] : reward.parts) parts += fmt::format(", {} {:.4g}", name, value);
  std::string facts;
  facts += fmt::format("reward    {:.4g}{}\n", reward.total, Line(parts));
  if (index < group.advantages.size()) {
    facts += fmt::format("advantage {:.4g}\n", group.advantages[index]);
  }
  facts += fmt::format("verdict   {}: {}\n", ToString(verdict.status), Line(verdict.reason));
  facts += fmt::format("found     {}\n", Line(verdict.extracted));
  facts += fmt::format("expected  {}\n", Line(task.gold));
  facts += fmt::format("length    {} tokens, {}\n", completion.token_ids.size(),
                       ToString(completion.finish));
  facts += fmt::format("task      {}", Line(task.id));
  return Block(facts) + "Prompt\n\n" + Block(Clean(group.group.prompt, kPromptBytes)) +
         "Completion\n\n" + Block(Clean(completion.text, kCompletionBytes));
}

}  // namespace ponder
