#include "app/evaluate.h"

#include <absl/time/clock.h>

#include <cmath>
#include <map>
#include <optional>

namespace ponder {

Share WilsonShare(int64_t successes, int64_t trials) {
  if (trials == 0) return {};
  constexpr double z = 1.959963984540054;  // the normal's 97.5 % point
  const double n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double center = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {.value = p, .low = std::max(0.0, center - half), .high = std::min(1.0, center + half)};
}

double PassAtK(int64_t n, int64_t c, int64_t k) {
  if (n - c < k) return 1;
  double miss = 1;
  for (int64_t i = n - c + 1; i <= n; ++i)
    miss *= 1.0 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - miss;
}

bool MajorityIsRight(const std::vector<Verdict>& verdicts, int64_t k) {
  struct Votes {
    int64_t count = 0;
    int64_t first = 0;
    bool right = false;
  };
  std::map<std::string, Votes> votes;
  for (int64_t i = 0; i < std::min<int64_t>(k, verdicts.size()); ++i) {
    const Verdict& verdict = verdicts[i];
    if (verdict.extracted.empty()) continue;
    // All right answers are one answer, however they are written.
    const bool right = verdict.status == VerdictStatus::kCorrect;
    Votes& vote = votes[right ? std::string("\1right") : verdict.extracted];
    if (vote.count++ == 0) vote.first = i;
    vote.right = right;
  }
  const Votes* best = nullptr;
  for (const auto& [answer, vote] : votes) {
    if (best == nullptr || vote.count > best->count ||
        (vote.count == best->count && vote.first < best->first)) {
      best = &vote;
    }
  }
  return best != nullptr && best->right;
}

absl::StatusOr<Evaluation> Evaluate(const std::vector<Task>& tasks, const PromptBuilder& prompts,
                                    GroupSource& source, int64_t version, Verifier& verifier,
                                    const JudgeOptions& judge, const EvaluateOptions& options,
                                    const std::function<void(int64_t, int64_t)>& on_progress,
                                    const std::function<bool()>& cancelled) {
  const absl::Time started = absl::Now();
  std::vector<GroupRequest> requests;
  requests.reserve(tasks.size());
  for (const Task& task : tasks) {
    PONDER_ASSIGN_OR_RETURN(std::string prompt, prompts.Prompt(task));
    std::vector<int32_t> ids = prompts.Encode(prompt);
    requests.push_back({.task = task,
                        .prompt = std::move(prompt),
                        .prompt_ids = std::move(ids),
                        .seed = options.seed,
                        .completions = options.samples,
                        .sampling = options.sampling});
  }
  std::vector<std::optional<Group>> groups(tasks.size());
  PONDER_RETURN_IF_ERROR(
      source
          .Generate(
              requests, version,
              [&](size_t index, Group group) { groups[index] = std::move(group); }, on_progress,
              cancelled)
          .status());
  Evaluation out;
  out.tasks = static_cast<int64_t>(tasks.size());
  double length = 0;
  for (std::optional<Group>& group : groups) {
    if (!group.has_value()) return Internal("a group of the evaluation was never generated");
    PONDER_ASSIGN_OR_RETURN(JudgedGroup judged,
                            JudgeGroup(verifier, *std::move(group), judge, RealClock()));
    for (const auto& [reason, count] : judged.dropped) out.dropped += count;
    ScoredGroup scored{.group = std::move(judged.group), .verdicts = std::move(judged.verdicts)};
    for (size_t i = 0; i < scored.verdicts.size(); ++i) {
      const Verdict& verdict = scored.verdicts[i];
      const auto format = verdict.parts.find("format");
      ++out.completions;
      out.correct += verdict.status == VerdictStatus::kCorrect;
      out.formatted += format != verdict.parts.end() && format->second > 0.5;
      out.truncated += scored.group.completions[i].finish == FinishReason::kLength;
      length += static_cast<double>(scored.group.completions[i].token_ids.size());
    }
    scored.rewards.resize(scored.verdicts.size());
    scored.advantages.resize(scored.verdicts.size());
    if (!scored.verdicts.empty()) out.groups.push_back(std::move(scored));
  }
  if (out.completions > 0) out.mean_length = length / static_cast<double>(out.completions);
  out.accuracy = WilsonShare(out.correct, out.completions);
  out.formatted_share = WilsonShare(out.formatted, out.completions);
  out.seconds = absl::ToDoubleSeconds(absl::Now() - started);
  return out;
}

}  // namespace ponder
