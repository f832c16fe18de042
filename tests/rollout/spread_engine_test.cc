#include "rollout/spread_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "rollout/fake_engine.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;

// Over fake engines whose completions say which one they are of and what version it had.
struct FakeEngines {
  explicit FakeEngines(int count, std::vector<std::string> fingerprints = {}) {
    std::vector<std::unique_ptr<RolloutEngine>> engines;
    for (int i = 0; i < count; ++i) {
      FakeEngineOptions options;
      options.script = [i](const RolloutRequest&, int64_t, int64_t version) {
        Completion completion;
        completion.token_ids = {i, static_cast<int32_t>(version)};
        return completion;
      };
      options.completions_per_step = 2;
      if (!fingerprints.empty()) options.fingerprint = fingerprints[static_cast<size_t>(i)];
      engines.push_back(CreateFakeEngine(options));
      parts.push_back(engines.back().get());
    }
    spread = CreateSpreadEngine(std::move(engines));
  }
  RolloutEngine& All() { return **spread; }

  std::vector<RolloutEngine*> parts;
  absl::StatusOr<std::unique_ptr<RolloutEngine>> spread;
};

RolloutRequest Request(uint64_t id, int64_t samples) {
  return {.id = id, .task_id = "task", .prompt_ids = {1}, .sample_count = samples};
}

TEST(SpreadEngine, GivesEachRequestToTheEngineWithTheFewestCompletionsUnderWay) {
  FakeEngines fakes(3);
  for (const auto& [id, samples] : {std::pair(1, 5), {2, 1}, {3, 2}, {4, 3}, {5, 1}})
    ASSERT_TRUE(fakes.All().Submit(Request(static_cast<uint64_t>(id), samples)).ok());
  EXPECT_EQ(fakes.parts[0]->Load().waiting, 5);      // 1
  EXPECT_EQ(fakes.parts[1]->Load().waiting, 1 + 3);  // 2, 4
  EXPECT_EQ(fakes.parts[2]->Load().waiting, 2 + 1);  // 3, 5
  EXPECT_EQ(fakes.All().Load().waiting, 12);
  EXPECT_EQ(fakes.All().Capabilities().max_sequences, 6);
  EXPECT_EQ(fakes.All().Submit({.id = 6}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpreadEngine, BringsEveryCompletionOnceAndThenHasNothingToDo) {
  FakeEngines fakes(3);
  for (uint64_t id = 0; id < 7; ++id)
    ASSERT_TRUE(fakes.All().Submit(Request(id, 1 + static_cast<int64_t>(id) * 9)).ok());
  std::set<std::pair<uint64_t, int64_t>> found;
  std::set<int32_t> makers;
  for (auto worked = fakes.All().Step(); worked.ok() && *worked; worked = fakes.All().Step()) {
    for (const RolloutResult& result : fakes.All().Poll()) {
      EXPECT_TRUE(found.emplace(result.request_id, result.completion.sample_index).second);
      makers.insert(result.completion.token_ids[0]);
    }
  }
  EXPECT_EQ(found.size(), 7 + 9 * 21);
  EXPECT_EQ(makers.size(), 3);
  EXPECT_EQ(fakes.All().Load().decode_tokens, 2 * (7 + 9 * 21));
  EXPECT_TRUE(fakes.All().Poll().empty());
}

TEST(SpreadEngine, CancelsWhereverTheRequestIsAndTellsAllOfNewWeights) {
  FakeEngines fakes(2);
  ASSERT_TRUE(fakes.All().Submit(Request(1, 1)).ok());
  ASSERT_TRUE(fakes.All().Submit(Request(2, 1)).ok());
  ASSERT_TRUE(fakes.All().Submit(Request(3, 1)).ok());
  fakes.All().Cancel(2);
  fakes.All().WeightsChanged(4);
  ASSERT_TRUE(fakes.All().Step().ok());
  std::map<uint64_t, Completion> found;
  for (RolloutResult& result : fakes.All().Poll())
    found[result.request_id] = std::move(result.completion);
  ASSERT_EQ(found.size(), 3);
  EXPECT_EQ(found[2].finish, FinishReason::kCancelled);
  EXPECT_EQ(found[1].token_ids, (std::vector<int32_t>{0, 4}));
  EXPECT_EQ(found[3].token_ids[1], 4);
}

TEST(SpreadEngine, RefusesEnginesOfOtherNumerics) {
  const FakeEngines fakes(2, {"one", "other"});
  EXPECT_EQ(fakes.spread.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(fakes.spread.status().message()), HasSubstr("one and other"));
}

}  // namespace
}  // namespace ponder
