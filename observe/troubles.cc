#include "observe/troubles.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "observe/curves.h"
#include "observe/robust_statistics.h"

namespace ponder {
namespace {

using Finding = std::optional<Hint>;

Hint Warning(std::string kind, std::vector<std::string> metrics, std::string text,
             std::string remedy) {
  return {.kind = std::move(kind),
          .text = std::move(text),
          .metrics = std::move(metrics),
          .remedy = std::move(remedy)};
}

std::string Percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

// None at all in three steps, or hardly one group in ten over a level: of healthy groups with
// signal 0.3 of the time, all of 3 x 8 are without once in 5,000 times.
Finding NoSignal(const Curves& curves) {
  const std::span<const double> few = curves.Last("groups/useful", kShortSteps);
  const std::span<const double> many = curves.Last("groups/useful", kLevelSteps);
  const bool none = few.size() == kShortSteps && Mean(few) == 0;
  if (!none && !(many.size() == kLevelSteps && Mean(many) < 0.1)) return std::nullopt;
  const size_t steps = none ? kShortSteps : kLevelSteps;
  const double right = Mean(curves.Last("groups/all_right", steps));
  const double wrong = Mean(curves.Last("groups/all_wrong", steps));
  const std::string found =
      fmt::format("{} group has signal: all completions of a group get the same reward",
                  none ? "no" : "hardly a");
  const std::string shares =
      fmt::format("{} all wrong, {} all right", Percent(wrong), Percent(right));
  if (wrong >= 3 * right) {
    const bool is_cut_off = Mean(curves.Last("length/truncated", steps)) > 1.0 / 3;
    return Warning("no_signal_hard", {"groups/useful", "groups/all_wrong"},
                   fmt::format("{} ({}): the tasks are too hard{}", found, shares,
                               is_cut_off ? ", or the answers are cut off" : ""),
                   "easier tasks ([tasks]), a longer cold start (sft.examples, sft.epochs), more "
                   "completions of a prompt (rollout.completions_per_prompt); look whether the "
                   "verifier finds the answers (verifier.extraction, prompt.template)");
  }
  if (right >= 3 * wrong) {
    return Warning("no_signal_easy", {"groups/useful", "groups/all_right"},
                   fmt::format("{} ({}): the tasks are too easy", found, shares),
                   "harder tasks ([tasks]), or end the run: it has learnt these");
  }
  return Warning("no_signal_split", {"groups/useful", "groups/all_wrong", "groups/all_right"},
                 fmt::format("{} ({}): tasks are either always solved or never", found, shares),
                 "tasks of middling difficulty ([tasks]), more completions of a prompt "
                 "(rollout.completions_per_prompt), a higher rollout.temperature");
}

// Entropy falls in every run that learns, to a third or so. At an eighth of where it began with
// most tasks unsolved, the policy has stopped to try other ways.
Finding EntropyCollapse(const Curves& curves) {
  if (curves.Rows() < 2 * kLevelSteps) return std::nullopt;
  const double before = Median(curves.First("policy/entropy"));
  const double now = Median(curves.Last("policy/entropy", kLevelSteps));
  const double solved = Median(curves.Last("groups/all_right", kLevelSteps));
  if (!(now < before / 8) || solved > 0.5) return std::nullopt;
  return Warning(
      "entropy_collapse", {"policy/entropy"},
      fmt::format("the policy's entropy has collapsed from {:.3g} to {:.3g} nats a token: it tries "
                  "little else any more",
                  before, now),
      "a lower optimizer.learning_rate, a higher rollout.temperature; with several updates a step "
      "(learner.updates_per_step) a higher learner.clip_high; learner.kl_weight above 0");
}

// Whether a curve shows the least sign of having risen since its begin: its level (2 sigma) or its
// rank correlation with time (one-sided 5 %). A weak sign is enough to wait before a warning.
bool HasRisen(std::span<const double> values, double noise) {
  constexpr size_t kMostPoints = 256;  // of the correlation, which is worked out at each step
  if (values.size() < 2 * kLevelSteps) return false;
  // The longer a run, the slower may it rise.
  const size_t window = std::clamp(values.size() / 16, kLevelSteps, 8 * kLevelSteps);
  const double gain = Median(values.last(window)) - Median(values.first(window));
  if (gain > 2 * std::sqrt(2.0) * ErrorOfMedian(noise, window)) return true;
  std::vector<double> time, points;
  const size_t stride = (values.size() + kMostPoints - 1) / kMostPoints;
  for (size_t i = (values.size() - 1) % stride; i < values.size(); i += stride) {
    time.push_back(static_cast<double>(i));
    points.push_back(values[i]);
  }
  return Correlate(time, points).Sigmas() > 1.645;
}

// Lengths may shrink or grow a lot in a run that is well: it learns to be brief, or to think. They
// are a trouble where nothing is gained by it.
Finding LengthChange(const Curves& curves) {
  if (curves.Rows() < 2 * kLevelSteps) return std::nullopt;
  const double before = Median(curves.First("length/mean"));
  const double now = Median(curves.Last("length/mean", kLevelSteps));
  const bool shorter = now < before / 3;
  const bool longer = now > before * 3;
  if (!shorter && !longer) return std::nullopt;
  const std::vector<double> shares = curves.RightShares();
  if (HasRisen(shares, NoiseOf(shares))) return std::nullopt;
  const double right_before = Median(std::span(shares).first(kLevelSteps));
  const double right_now = Median(std::span(shares).last(kLevelSteps));
  const std::string text = fmt::format(
      "completions have {} from {:.0f} to {:.0f} tokens while the share of right answers went from "
      "{} to {}",
      shorter ? "shrunk" : "grown", before, now, Percent(right_before), Percent(right_now));
  if (shorter) {
    return Warning("length_collapse", {"length/mean", "verdict/CORRECT"}, text,
                   "look at the samples: something pays that needs no reasoning (reward.format, "
                   "other parts of the reward); reward.gates, a smaller reward.overlong.weight");
  }
  return Warning("length_explosion", {"length/mean", "verdict/CORRECT"}, text,
                 "reward.overlong.weight, reward.repetition.weight or reward.truncated_penalty "
                 "above 0; learner.aggregation = \"token_mean\" or \"constant\"");
}

Finding Truncation(const Curves& curves) {
  const std::span<const double> last = curves.Last("length/truncated", kShortSteps);
  const double share = Mean(last);
  if (last.size() < kShortSteps || !(share > 1.0 / 3)) return std::nullopt;
  return Warning(
      "truncation", {"length/truncated", "length/mean"},
      fmt::format("{} of the completions run into the length limit: what they would have "
                  "answered is not judged",
                  Percent(share)),
      "a higher rollout.max_new_tokens; reward.overlong.weight above 0; a cold start on "
      "short solutions (sft.examples)");
}

// Dropped completions are lost work and, where long ones are dropped, a bias. One in twenty is more
// than restarts of a verifier now and then explain.
Finding VerifierErrors(const Curves& curves) {
  const std::span<const double> dropped = curves.Last("dropped/total", kLevelSteps);
  const double lost = Sum(dropped);
  const double all = curves.SumOf("verdict/", kLevelSteps) + lost;
  if (dropped.size() < kShortSteps || all <= 0 || lost <= all / 20) return std::nullopt;
  const std::string most = curves.LargestOf("dropped/", kLevelSteps);
  return Warning(
      "verifier_errors", {"dropped/total", most.empty() ? "verifier/retries" : most},
      fmt::format("{} of the completions are dropped without a verdict{}", Percent(lost / all),
                  most.empty() ? "" : ", most for: " + most.substr(most.find('/') + 1)),
      "look at the log for the verifier's words; verifier.deadline_s, "
      "verifier.max_retries, verifier.address");
}

Finding VerifierRetries(const Curves& curves) {
  const std::span<const double> retries = curves.Last("verifier/retries", kLevelSteps);
  const auto steps = std::count_if(retries.begin(), retries.end(), [](double n) { return n > 0; });
  if (retries.size() < kLevelSteps || steps <= static_cast<ptrdiff_t>(kLevelSteps / 2)) {
    return std::nullopt;
  }
  return Warning(
      "verifier_retries", {"verifier/retries", "time/verify_s"},
      fmt::format("the verifier had to be asked again in {} of {} steps", steps, retries.size()),
      "look at the log for its words; a longer verifier.deadline_s, more verifiers");
}

// Half of all: at the begin of a run without a cold start the form is learnt first, but where the
// form is asked for in other words than the verifier's it never is.
Finding NoAnswers(const Curves& curves) {
  const double all = curves.SumOf("verdict/", kLevelSteps);
  const double none = Sum(curves.Last("verdict/NO_ANSWER", kLevelSteps)) +
                      Sum(curves.Last("verdict/UNPARSEABLE", kLevelSteps));
  if (curves.Rows() < kLevelSteps || all <= 0 || none <= all / 2) return std::nullopt;
  return Warning(
      "no_answers", {"verdict/NO_ANSWER", "verdict/UNPARSEABLE"},
      fmt::format("the verifier finds no answer that it can read in {} of the completions",
                  Percent(none / all)),
      "make prompt.template ask for the form that the verifier reads "
      "(verifier.extraction, verifier.anchors); reward.format above 0; a cold start "
      "(sft.examples); a higher rollout.max_new_tokens where they are cut off");
}

Finding InvalidTasks(const Curves& curves) {
  const double invalid = curves.Now("verdict/INVALID_GOLD");
  if (!(invalid > 0)) return std::nullopt;
  return Warning("invalid_tasks", {"verdict/INVALID_GOLD"},
                 fmt::format("{:.0f} completions could not be judged: the expected answer of their "
                             "task cannot be read",
                             invalid),
                 "look at these tasks; tasks.file.gold_field, tasks.file.gold_after, "
                 "tasks.file.verifier");
}

Finding Exactness(const Curves& curves) {
  const double difference = curves.Now("exactness/logprob_max_abs_diff");
  if (std::isnan(difference) || difference == 0) return std::nullopt;
  return Warning(
      "inexact", {"exactness/logprob_max_abs_diff"},
      fmt::format("the learner's log-probs differ from the sampler's by up to {:.2g}: "
                  "they should be the same to the last bit",
                  difference),
      "run the same build on the same kind of processor everywhere, or the same "
      "machine.isa, and machine.numerics = \"exact\"; until then learner.importance_cap = "
      "2 corrects for it");
}

Finding LearningRateFinished(const Curves& curves) {
  if (curves.Now("optimizer/learning_rate") != 0) return std::nullopt;
  return Warning("learning_rate_finished", {"optimizer/learning_rate"},
                 "the learning rate is 0: steps go on, but nothing is learnt",
                 "more run.steps, or optimizer.schedule = \"constant\"; the schedule ends after "
                 "run.steps x learner.updates_per_step updates, those of before a resume included");
}

// Norms of gradients vary as factors do, so their logarithms are looked at. Five times the median
// is more than the batches of a healthy run differ by, and where they differ a lot, six sigma more.
Finding GradientSpike(const Curves& curves) {
  constexpr size_t kBefore = 32;
  const std::span<const double> last = curves.Last("optimizer/gradient_norm", kBefore + 1);
  if (last.size() < 2 * kLevelSteps) return std::nullopt;
  std::vector<double> before;
  for (const double norm : last.first(last.size() - 1)) {
    if (norm > 0) before.push_back(std::log(norm));
  }
  const double level = Median(before);
  const double excess = std::log(last.back()) - level;
  if (before.size() < kLevelSteps || !(excess > std::max(std::log(5.0), 6 * NoiseOf(before)))) {
    return std::nullopt;
  }
  return Warning("gradient_spike", {"optimizer/gradient_norm"},
                 fmt::format("the gradient's norm is {:.3g}, {:.0f} times what it was", last.back(),
                             std::exp(excess)),
                 "a lower optimizer.learning_rate or optimizer.max_gradient_norm, more "
                 "rollout.prompts_per_step; look at the step's longest and best paid samples");
}

Finding SkippedUpdates(const Curves& curves) {
  if (!(curves.Now("optimizer/skipped_updates") > 0)) return std::nullopt;
  return Warning("skipped_updates", {"optimizer/skipped_updates"},
                 fmt::format("updates are left out because a number was not finite ({:.0f} in the "
                             "last {} steps)",
                             Sum(curves.Last("optimizer/skipped_updates", kLevelSteps)),
                             std::min(kLevelSteps, curves.Rows())),
                 "a lower optimizer.learning_rate, optimizer.max_gradient_norm = 1, "
                 "model.dtype = \"f32\"; go back to an earlier checkpoint if it stays");
}

// Noise of a step's mean reward: what its neighbours say, and no less than what its own completions
// do (a curve that is mostly 0 looks calm to neighbours).
double RewardNoise(const Curves& curves, size_t steps) {
  const double completions = curves.SumOf("verdict/", steps) / static_cast<double>(steps);
  const double spread = Median(curves.Last("reward/std", steps));
  const double noise = NoiseOf(curves.Last("reward/mean", steps));
  if (!(spread > 0) || completions <= 0) return noise;
  return std::max(noise, spread / std::sqrt(completions));
}

// More than half of what was gained, and beyond the noise: of the many windows of a long run the
// best and the worst are some 6.5 standard errors apart by chance alone.
Finding RewardFalls(const Curves& curves) {
  constexpr size_t kLookBack = 400;
  if (curves.Rows() < 3 * kLevelSteps) return std::nullopt;
  const std::span<const double> reward = curves.Last("reward/mean", kLookBack);
  if (reward.size() < 3 * kLevelSteps) return std::nullopt;
  const double start = Median(curves.First("reward/mean"));
  const double now = Median(reward.last(kLevelSteps));
  double best = start;
  for (size_t end = reward.size() - kLevelSteps; end >= kLevelSteps; end -= kLevelSteps) {
    best = std::max(best, Median(reward.subspan(end - kLevelSteps, kLevelSteps)));
  }
  const double noise = RewardNoise(curves, std::min<size_t>(reward.size(), 64));
  const double fall = best - now;
  if (!(fall > std::max(8 * ErrorOfMedian(noise, kLevelSteps), (best - start) / 2))) {
    return std::nullopt;
  }
  return Warning("reward_falls", {"reward/mean", "policy/entropy", "length/mean"},
                 fmt::format("the reward has fallen from {:.3g} at its best to {:.3g}", best, now),
                 "go back to a checkpoint from before the fall and lower optimizer.learning_rate; "
                 "learner.kl_weight above 0, fewer learner.updates_per_step, a smaller "
                 "rollout.max_staleness");
}

// Slow learning and none look alike in the beginning: with patience for 96 steps, a run that gains
// the noise of a step in that time is taken for one that gains nothing in one of ten cases.
Finding RewardStuck(const Curves& curves) {
  constexpr size_t kPatience = 96;
  const std::span<const double> reward = curves.All("reward/mean");
  if (reward.size() < kPatience) return std::nullopt;
  // Where most is solved there is little to gain, and without signal that is what is wrong.
  if (Median(curves.Last("groups/all_right", kLevelSteps)) > 0.5 ||
      Mean(curves.Last("groups/useful", kLevelSteps)) < 0.1) {
    return std::nullopt;
  }
  if (HasRisen(reward, RewardNoise(curves, kPatience)) || RewardFalls(curves)) return std::nullopt;
  const double before = Median(curves.First("reward/mean"));
  const double now = Median(curves.Last("reward/mean", kLevelSteps));
  if (!std::isfinite(before) || !std::isfinite(now)) return std::nullopt;
  return Warning("reward_stuck", {"reward/mean", "groups/useful"},
                 fmt::format("the reward has not risen in {} steps: {:.3g} at first, {:.3g} now",
                             curves.Rows(), before, now),
                 "a higher optimizer.learning_rate, more rollout.prompts_per_step or "
                 "rollout.completions_per_prompt for a clearer gradient, easier tasks ([tasks])");
}

}  // namespace

std::vector<Hint> TroublesAt(const MetricTable& table, size_t rows) {
  static constexpr Finding (*kChecks[])(const Curves&) = {
      NoSignal,        NoAnswers,    InvalidTasks,         Truncation,    VerifierErrors,
      VerifierRetries, Exactness,    LearningRateFinished, GradientSpike, SkippedUpdates,
      EntropyCollapse, LengthChange, RewardFalls,          RewardStuck,
  };
  const Curves curves(table, rows);
  std::vector<Hint> hints;
  for (const auto& check : kChecks) {
    Finding finding = check(curves);
    if (!finding) continue;
    finding->first_step = finding->last_step = table.steps[rows - 1];
    hints.push_back(*std::move(finding));
  }
  return hints;
}

}  // namespace ponder
