#include "tests/observe/store_records.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/random.h"
#include "base/status.h"

namespace ponder {

StepRecord MakeStep(const std::string& phase, int64_t step, const StepSizes& sizes) {
  RandomStream random(MakeRandomKey(7, phase), static_cast<uint64_t>(step));
  StepRecord record{.step = step, .policy_version = 2 * step, .phase = phase};
  record.metrics = {{"reward/mean", random.Uniform()}, {"length/mean", random.Uniform() * 100}};
  for (int64_t g = 0; g < sizes.groups; ++g) {
    ScoredGroup scored;
    Group& group = scored.group;
    group.task = {.id = fmt::format("task-{}-{}", step, g),
                  .kind = "math",
                  .source = "test",
                  .question = "what is it?",
                  .gold = "42",
                  .data = "{}",
                  .solution = "so it is",
                  .difficulty = 0.1};
    group.prompt = fmt::format("Q: {}", g);
    for (int i = 0; i < 9; ++i) group.prompt_ids.push_back(static_cast<int32_t>(random.Bits()));
    group.seed = ~static_cast<uint64_t>(step);  // above what a signed number holds
    group.temperature = 0.7f;
    for (int64_t c = 0; c < sizes.completions; ++c) {
      Completion completion{.sample_index = c};
      for (int64_t t = 0; t < sizes.tokens; ++t) {
        completion.token_ids.push_back(static_cast<int32_t>(random.Between(0, 49151)));
        completion.sampled_mask.push_back(static_cast<uint8_t>(random.Between(0, 1)));
        completion.logprobs.push_back(static_cast<float>(-random.Uniform() * 9));
        completion.entropies.push_back(static_cast<float>(random.Uniform() * 3));
      }
      completion.versions = {{0, step - 1}, {sizes.tokens / 2, step}};
      completion.finish = c % 2 == 0 ? FinishReason::kStop : FinishReason::kLength;
      completion.text = fmt::format("answer {} of {} 🙂", c, g);
      group.completions.push_back(completion);
      const bool right = random.Uniform() < 0.5;
      scored.verdicts.push_back(
          {.status = right ? VerdictStatus::kCorrect : VerdictStatus::kNoAnswer,
           .score = right ? 1.0 : 0.0,
           .parts = {{"format", 1.0}, {"language", random.Uniform()}},
           .extracted = "42",
           .reason = "equal",
           .elapsed_us = 17 + c});
      scored.rewards.push_back({.total = 1.1, .parts = {{"correct", 1.0}, {"format", 0.1}}});
      scored.advantages.push_back(static_cast<float>(random.Normal()));
    }
    record.groups.push_back(std::move(scored));
  }
  return record;
}

void ExpectHolds(const std::vector<StoredCompletion>& stored, const StepRecord& record) {
  size_t row = 0;
  for (const ScoredGroup& scored : record.groups) {
    for (size_t c = 0; c < scored.group.completions.size(); ++c, ++row) {
      ASSERT_LT(row, stored.size());
      const StoredCompletion& found = stored[row];
      EXPECT_EQ(found.phase, record.phase);
      EXPECT_EQ(found.step, record.step);
      EXPECT_EQ(found.task, scored.group.task);
      EXPECT_EQ(found.prompt, scored.group.prompt);
      EXPECT_EQ(found.prompt_ids, scored.group.prompt_ids);
      EXPECT_EQ(found.seed, scored.group.seed);
      EXPECT_EQ(found.temperature, scored.group.temperature);
      EXPECT_EQ(found.completion, scored.group.completions[c]);
      EXPECT_EQ(found.verdict, scored.verdicts[c]);
      EXPECT_EQ(found.reward, scored.rewards[c]);
      EXPECT_EQ(found.advantage, scored.advantages[c]);
    }
  }
  EXPECT_EQ(row, stored.size());
}

std::string FreshDirectory() {
  std::string name = ::testing::TempDir() + "/ponder_observe_XXXXXX";
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

}  // namespace ponder
