#include "rollout/completion_check.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ponder {
namespace {

constexpr CompletionLimits kLimits = {
    .vocabulary = 100, .max_new_tokens = 3, .oldest_version = 7, .newest_version = 8};

Completion Good() {
  return {.token_ids = {5, 99, 0},
          .sampled_mask = {1, 1, 1},
          .logprobs = {-1, 0, -3},
          .entropies = {0, 1, 2},
          .versions = {{0, 7}},
          .finish = FinishReason::kLength};
}

TEST(CompletionCheck, AcceptsWhatKeepsTheContract) {
  EXPECT_TRUE(CheckCompletion(Good(), kLimits).ok());
}

TEST(CompletionCheck, AcceptsWeightsThatWereSwappedUnderWay) {
  Completion completion = Good();
  completion.versions = {{0, 7}, {2, 8}};
  EXPECT_TRUE(CheckCompletion(completion, kLimits).ok());
}

TEST(CompletionCheck, RefusesEverythingElse) {
  const auto refused = [](auto change) {
    Completion completion = Good();
    change(completion);
    return CheckCompletion(completion, kLimits).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](Completion& c) { c = {}; }));
  EXPECT_TRUE(refused([](Completion& c) { c.token_ids.push_back(1); }));
  EXPECT_TRUE(refused([](Completion& c) { c.token_ids[1] = 100; }));
  EXPECT_TRUE(refused([](Completion& c) { c.token_ids[1] = -1; }));
  EXPECT_TRUE(refused([](Completion& c) { c.sampled_mask.pop_back(); }));
  EXPECT_TRUE(refused([](Completion& c) { c.sampled_mask[0] = 2; }));
  EXPECT_TRUE(refused([](Completion& c) { c.logprobs.pop_back(); }));
  EXPECT_TRUE(refused([](Completion& c) { c.logprobs[0] = NAN; }));
  EXPECT_TRUE(refused([](Completion& c) { c.logprobs[0] = -INFINITY; }));
  EXPECT_TRUE(refused([](Completion& c) { c.logprobs[0] = 0.1f; }));
  EXPECT_TRUE(refused([](Completion& c) { c.entropies.clear(); }));
  EXPECT_TRUE(refused([](Completion& c) { c.entropies[2] = -1; }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions.clear(); }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions[0].version = 6; }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions[0].version = 9; }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions[0].begin = 1; }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions.push_back({2, 9}); }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions.push_back({2, 7}); }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions.push_back({3, 8}); }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions.push_back({0, 8}); }));
  EXPECT_TRUE(refused([](Completion& c) { c.versions = {{0, 8}, {1, 7}}; }));
  EXPECT_TRUE(refused([](Completion& c) { c.finish = FinishReason::kCancelled; }));
  EXPECT_TRUE(refused([](Completion& c) {
    c.token_ids = {1, 2, 3, 4};
    c.sampled_mask = {1, 1, 1, 1};
    c.logprobs = c.entropies = {0, 0, 0, 0};
  }));
}

TEST(CompletionCheck, WantsEachSampleOnce) {
  std::vector<Completion> completions(3, Good());
  const auto set = [&](int64_t a, int64_t b, int64_t c) {
    completions[0].sample_index = a;
    completions[1].sample_index = b;
    completions[2].sample_index = c;
  };
  set(6, 4, 5);
  EXPECT_TRUE(CheckCompletions(completions, 4, 3, kLimits).ok());
  EXPECT_FALSE(CheckCompletions(completions, 4, 4, kLimits).ok());
  EXPECT_FALSE(CheckCompletions(completions, 3, 3, kLimits).ok());
  set(4, 5, 5);
  EXPECT_FALSE(CheckCompletions(completions, 4, 3, kLimits).ok());
  set(4, 5, 6);
  completions[2].logprobs.clear();
  EXPECT_FALSE(CheckCompletions(completions, 4, 3, kLimits).ok());
}

}  // namespace
}  // namespace ponder
