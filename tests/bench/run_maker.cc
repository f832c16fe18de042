#include "tests/bench/run_maker.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "base/status.h"

namespace ponder {
namespace {

constexpr int64_t kTasks = 4096;
constexpr int64_t kNumbers = 1000;  // ids from 0 on are these numbers' texts
constexpr const char* kWords[] = {
    " so",     " first", " then", " we",    " add", " multiply", " by",   " and",    " get",
    " the",    " sum",   " of",   " which", " is",  " equal",    " to",   " check",  " again",
    " answer", " wait",  " let",  " me",    " see", ",",         ".",     "\n",      " =",
    " +",      " *",     " -",    " (",     " )",   " because",  " step", " result", " carry"};
constexpr int64_t kWordCount = std::ssize(kWords);

// A log-prob as sampling gives them: mostly near 0, sometimes far below.
float LogProb(RandomStream& random) {
  return static_cast<float>(-std::exp(3 * random.Normal() - 5));
}

struct Question {
  int64_t a, b, c;
  int64_t Answer() const { return a + b * c; }
  std::string Text() const { return fmt::format("What is {} + {} * {}?", a, b, c); }
};

Question MakeQuestion(int64_t task) {
  RandomStream random(MakeRandomKey(11, "made task"), static_cast<uint64_t>(task));
  return {random.Between(10, 99), random.Between(10, 99), random.Between(2, 9)};
}

Completion MakeCompletion(const Question& question, int64_t index, int64_t tokens, bool right,
                          bool cut, int64_t version, RandomStream& random) {
  Completion completion{.sample_index = index,
                        .versions = {{0, version}},
                        .finish = cut ? FinishReason::kLength : FinishReason::kStop};
  const std::vector<std::string> vocabulary = MadeVocabulary();
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t id = random.Uniform() < 0.2 ? random.Between(0, kNumbers - 1)
                                              : kNumbers + random.Between(0, kWordCount - 1);
    completion.token_ids.push_back(static_cast<int32_t>(id));
    completion.text += vocabulary[static_cast<size_t>(id)];
  }
  const int64_t answer = right ? question.Answer() : question.Answer() + random.Between(1, 9);
  if (!cut) completion.text += fmt::format(" \\boxed{{{}}}", answer);
  completion.sampled_mask.assign(static_cast<size_t>(tokens), 1);
  for (int64_t t = 0; t < tokens; ++t) {
    completion.logprobs.push_back(LogProb(random));
    completion.entropies.push_back(-2 * LogProb(random));
  }
  return completion;
}

}  // namespace

std::vector<std::string> MadeVocabulary() {
  static const std::vector<std::string> pieces = [] {
    std::vector<std::string> all;
    for (int64_t i = 0; i < kNumbers; ++i) all.push_back(fmt::format(" {}", i));
    all.insert(all.end(), std::begin(kWords), std::end(kWords));
    return all;
  }();
  return pieces;
}

StepRecord MakeRunStep(const MadeRunSizes& sizes, int64_t step) {
  RandomStream random(MakeRandomKey(11, "made run"), static_cast<uint64_t>(step));
  const double progress = static_cast<double>(step) / static_cast<double>(sizes.steps);
  const double skill = 0.1 + 0.75 * (1 - std::exp(-3 * progress));
  StepRecord record{.step = step, .policy_version = step};
  record.clips.resize(static_cast<size_t>(sizes.groups));
  double reward_sum = 0, right_sum = 0, length_sum = 0, cut_sum = 0;
  int64_t all_right = 0, all_wrong = 0;
  for (int64_t g = 0; g < sizes.groups; ++g) {
    const int64_t task = ((step - 1) * sizes.groups + g) % kTasks;
    const Question question = MakeQuestion(task);
    const double odds = std::clamp(skill + 0.25 * random.Normal(), 0.0, 1.0);
    ScoredGroup scored;
    Group& group = scored.group;
    group.task = {.id = fmt::format("arithmetic-{}", task),
                  .kind = "math",
                  .source = "made",
                  .question = question.Text(),
                  .gold = fmt::format("{}", question.Answer())};
    group.prompt = "<|user|>" + question.Text() + "<|assistant|>";
    group.prompt_ids.assign(24, 7);
    group.seed = static_cast<uint64_t>(step);
    int64_t right_here = 0;
    for (int64_t c = 0; c < sizes.completions; ++c) {
      const bool right = random.Uniform() < odds;
      const bool cut = !right && random.Uniform() < 0.2 * (1 - progress);
      const auto tokens = static_cast<int64_t>(static_cast<double>(sizes.tokens) *
                                               (1.5 - 0.5 * progress - 0.5 * random.Uniform()));
      group.completions.push_back(
          MakeCompletion(question, c, tokens, right, cut, step - 1, random));
      std::vector<int8_t> clips(static_cast<size_t>(tokens), 0);
      if (random.Uniform() < 0.1) clips[static_cast<size_t>(random.Between(0, tokens - 1))] = 1;
      record.clips[static_cast<size_t>(g)].push_back(std::move(clips));
      const double form = cut ? 0 : 1;
      scored.verdicts.push_back({.status = right ? VerdictStatus::kCorrect
                                           : cut ? VerdictStatus::kNoAnswer
                                                 : VerdictStatus::kWrong,
                                 .score = right ? 1.0 : 0.0,
                                 .parts = {{"format", form}},
                                 .extracted = cut ? "" : fmt::format("{}", question.Answer()),
                                 .reason = right ? "equal"
                                           : cut ? "no answer"
                                                 : "not equal",
                                 .elapsed_us = 20});
      const double reward = (right ? 1.0 : 0.0) + 0.1 * form;
      scored.rewards.push_back(
          {.total = reward, .parts = {{"correct", right ? 1.0 : 0.0}, {"format", 0.1 * form}}});
      reward_sum += reward;
      right_sum += right;
      right_here += right;
      length_sum += static_cast<double>(tokens);
      cut_sum += cut;
    }
    for (int64_t c = 0; c < sizes.completions; ++c) {
      const double share = static_cast<double>(right_here) / static_cast<double>(sizes.completions);
      scored.advantages.push_back(
          static_cast<float>(scored.verdicts[static_cast<size_t>(c)].score - share));
    }
    all_right += right_here == sizes.completions;
    all_wrong += right_here == 0;
    record.groups.push_back(std::move(scored));
  }
  const auto samples = static_cast<double>(sizes.groups * sizes.completions);
  const auto groups = static_cast<double>(sizes.groups);
  const double useful = groups - static_cast<double>(all_right + all_wrong);
  record.metrics = {{"reward/mean", reward_sum / samples},
                    {"reward/std", 0.5},
                    {"reward/correct", right_sum / samples},
                    {"reward/format", 0.1 * (1 - cut_sum / samples)},
                    {"part/format", 1 - cut_sum / samples},
                    {"groups/useful", useful / groups},
                    {"groups/all_right", static_cast<double>(all_right) / groups},
                    {"groups/all_wrong", static_cast<double>(all_wrong) / groups},
                    {"length/mean", length_sum / samples},
                    {"length/truncated", cut_sum / samples},
                    {"policy/entropy", 0.6 * std::exp(-progress) + 0.02 * random.Normal()},
                    {"policy/clip_low", 0.001 * random.Uniform()},
                    {"policy/clip_high", 0.002 * random.Uniform()},
                    {"policy/ratio_max", 1 + 0.3 * random.Uniform()},
                    {"optimizer/gradient_norm", std::exp(0.3 * random.Normal())},
                    {"optimizer/skipped_updates", 0},
                    {"exactness/logprob_max_abs_diff", 0},
                    {"staleness/mean", 0},
                    {"staleness/max", 0},
                    {"dropped/total", 0},
                    {"verdict/CORRECT", right_sum},
                    {"verdict/WRONG", samples - right_sum - cut_sum},
                    {"verdict/NO_ANSWER", cut_sum},
                    {"verifier/retries", 0},
                    {"speed/generate_tokens_per_s", 9000 + 300 * random.Normal()},
                    {"speed/learn_tokens_per_s", 12000 + 300 * random.Normal()},
                    {"time/generate_s", 20 + random.Uniform()},
                    {"time/wait_for_verdicts_s", 0.1 * random.Uniform()},
                    {"time/learn_s", 15 + random.Uniform()},
                    {"time/publish_s", 0.01},
                    {"time/step_s", 36 + random.Uniform()}};
  return record;
}

}  // namespace ponder
