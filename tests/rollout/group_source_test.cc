#include "rollout/group_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "rollout/fake_engine.h"

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

}  // namespace
}  // namespace ponder
