#include "rollout/group_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "rollout/fake_engine.h"
#include "rollout/fake_step_runner.h"
#include "tests/rollout/byte_tokenizer.h"

namespace ponder {
namespace {

using testing::HasSubstr;

Completion Script(const RolloutRequest& request, int64_t sample_index, int64_t version) {
  Completion completion;
  completion.token_ids = {request.prompt_ids[0], static_cast<int32_t>(sample_index),
                          static_cast<int32_t>(version)};
  completion.text = request.task_id;
  return completion;
}

std::vector<GroupRequest> MakeRequests(int64_t count) {
  std::vector<GroupRequest> requests(count);
  for (int64_t i = 0; i < count; ++i) {
    requests[i].task.id = "task-" + std::to_string(i);
    requests[i].prompt_ids = {static_cast<int32_t>(i + 10), 1, 2};
    requests[i].completions = 2 + i;
    requests[i].seed = 5;
    requests[i].sampling.temperature = 0.7f;
  }
  return requests;
}

class LocalGroupSourceTest : public testing::Test {
 protected:
  LocalGroupSourceTest()
      : engine_(CreateFakeEngine({.script = Script})), source_(CreateLocalGroupSource(*engine_)) {}

  std::unique_ptr<RolloutEngine> engine_;
  std::unique_ptr<GroupSource> source_;
};

TEST_F(LocalGroupSourceTest, HandsOverEachGroupAsSoonAsItIsWhole) {
  const std::vector<GroupRequest> requests = MakeRequests(3);
  std::map<size_t, Group> groups;
  std::vector<std::pair<int64_t, size_t>> trace;  // completions done, groups then
  const auto stats = source_->Generate(
      requests, 4, [&](size_t index, Group group) { groups.emplace(index, std::move(group)); },
      [&](int64_t done, int64_t total) {
        EXPECT_EQ(total, 9);
        trace.emplace_back(done, groups.size());
      },
      nullptr);
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(trace[1], (std::pair<int64_t, size_t>(2, 1)));
  EXPECT_EQ(trace[4], (std::pair<int64_t, size_t>(5, 2)));
  EXPECT_EQ(trace.back(), (std::pair<int64_t, size_t>(9, 3)));
  for (const auto& [index, group] : groups) {
    EXPECT_EQ(group.task, requests[index].task);
    EXPECT_EQ(group.prompt_ids, requests[index].prompt_ids);
    EXPECT_EQ(group.seed, 5u);
    EXPECT_EQ(group.temperature, 0.7f);
    ASSERT_EQ(std::ssize(group.completions), requests[index].completions);
    for (int64_t i = 0; i < requests[index].completions; ++i) {
      const Completion& completion = group.completions[i];
      EXPECT_EQ(completion.sample_index, i);
      EXPECT_EQ(completion.token_ids[1], i);
      EXPECT_EQ(completion.token_ids[2], 4);
      EXPECT_EQ(completion.text, requests[index].task.id);
      EXPECT_EQ(completion.versions, (std::vector<VersionSpan>{{0, 4}}));
    }
  }
  EXPECT_EQ(stats->completion_tokens, 27);
  EXPECT_EQ(stats->prompt_tokens, 9);
  EXPECT_EQ(stats->workers, 1);
}

TEST_F(LocalGroupSourceTest, LeavesTheEngineEmptyWhenCancelled) {
  int64_t asked = 0;
  const auto stats =
      source_->Generate(MakeRequests(5), 0, nullptr, nullptr, [&] { return ++asked > 4; });
  EXPECT_EQ(stats.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(engine_->Load().waiting, 0);
  EXPECT_TRUE(engine_->Poll().empty());
  EXPECT_TRUE(source_->Generate(MakeRequests(2), 0, nullptr, nullptr, nullptr).ok());
}

TEST_F(LocalGroupSourceTest, ARefusedPromptEndsTheCallAndLeavesNothingBehind) {
  std::vector<GroupRequest> requests = MakeRequests(3);
  requests[2].prompt_ids.clear();
  const auto stats = source_->Generate(requests, 0, nullptr, nullptr, nullptr);
  EXPECT_THAT(std::string(stats.status().message()), HasSubstr("prompt is empty"));
  EXPECT_EQ(engine_->Load().waiting, 0);
}

TEST_F(LocalGroupSourceTest, LaterCompletionsCarryThePublishedVersion) {
  ASSERT_TRUE(source_->PublishWeights(9).ok());
  int64_t version = 0;
  const auto stats = source_->Generate(
      MakeRequests(1), 9,
      [&](size_t, Group group) { version = group.completions[0].versions[0].version; }, nullptr,
      nullptr);
  EXPECT_TRUE(stats.ok());
  EXPECT_EQ(version, 9);
}

TEST_F(LocalGroupSourceTest, AnotherVersionThanThePublishedOneIsRefused) {
  ASSERT_TRUE(source_->PublishWeights(9).ok());
  EXPECT_EQ(source_->Begin({.requests = MakeRequests(1), .version = 8}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(LocalGroupSourceTest, NoGroupComesFromABatchThatHasEnded) {
  int64_t first_groups = 0, second_groups = 0;
  const auto first = source_->Begin(
      {.requests = MakeRequests(3), .on_group = [&](size_t, Group) { ++first_groups; }});
  const auto second = source_->Begin(
      {.requests = MakeRequests(3), .on_group = [&](size_t, Group) { ++second_groups; }});
  ASSERT_TRUE(first.ok() && second.ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(*source_->Work());
  ASSERT_EQ(first_groups, 1);
  ASSERT_TRUE(source_->End(*first).ok());
  while (*source_->Work()) {
  }
  EXPECT_EQ(first_groups, 1);
  EXPECT_EQ(second_groups, 3);
  EXPECT_TRUE(source_->Progress(*second).Whole());
  EXPECT_EQ(source_->End(*second)->completion_tokens, 27);
}

// The engine over a fake model, so that completions take as many steps as they have tokens.
class StepwiseGroupSourceTest : public testing::Test {
 protected:
  StepwiseGroupSourceTest() {
    StepRunnerInfo info{.fingerprint = "fake",
                        .vocabulary = 300,
                        .drawable_tokens = 257,
                        .max_positions = 1000,
                        .pages = 64};
    auto runner = std::make_unique<FakeStepRunner>(info);
    runner_ = runner.get();
    engine_ = *CreateEngineOver(std::move(runner), tokenizer_,
                                {.max_sequences = 8, .max_step_tokens = 64});
    source_ = CreateLocalGroupSource(*engine_);
  }

  // A group of two completions of just so many tokens.
  GroupRequest Request(const std::string& task, int64_t tokens) const {
    return {.task = {.id = task},
            .prompt_ids = {1, 2, 3},
            .completions = 2,
            .sampling = {.max_new_tokens = tokens}};
  }

  ByteTokenizer tokenizer_;
  FakeStepRunner* runner_ = nullptr;
  std::unique_ptr<RolloutEngine> engine_;
  std::unique_ptr<GroupSource> source_;
};

TEST_F(StepwiseGroupSourceTest, ASlowCompletionDoesNotKeepALaterBatchWaiting) {
  std::vector<std::string> whole;
  const auto note = [&](size_t, Group group) { whole.push_back(group.task.id); };
  const auto slow =
      source_->Begin({.requests = {Request("short", 2), Request("long", 100)}, .on_group = note});
  const auto next =
      source_->Begin({.requests = {Request("next", 3), Request("next too", 4)}, .on_group = note});
  ASSERT_TRUE(slow.ok() && next.ok());
  while (!source_->Progress(*slow).Whole()) ASSERT_TRUE(*source_->Work());
  EXPECT_THAT(whole, testing::ElementsAre("short", "next", "next too", "long"));
  EXPECT_FALSE(*source_->Work()) << "nothing is left to do";
}

TEST_F(StepwiseGroupSourceTest, WeightsSwappedInFlightAreRecordedPerToken) {
  std::vector<Group> groups;
  const auto batch =
      source_->Begin({.requests = {Request("task", 10)}, .on_group = [&](size_t, Group group) {
                        groups.push_back(std::move(group));
                      }});
  ASSERT_TRUE(batch.ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(*source_->Work());
  runner_->SetWeights(1);
  ASSERT_TRUE(source_->PublishWeights(1).ok());
  while (*source_->Work()) {
  }
  ASSERT_EQ(groups.size(), 1u);
  for (const Completion& completion : groups[0].completions)
    EXPECT_EQ(completion.versions, (std::vector<VersionSpan>{{0, 0}, {4, 1}}));
}

}  // namespace
}  // namespace ponder
