#include "tests/observe/dashboard/served_runs.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "observe/http_target.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

// Rewards, lengths and endings that differ from sample to sample; step 6 goes wrong.
StepRecord TrainingStep(int64_t step) {
  StepRecord record = MakeStep("train", step, {.groups = 3, .completions = 4});
  double reward_sum = 0;
  for (size_t g = 0; g < record.groups.size(); ++g) {
    ScoredGroup& scored = record.groups[g];
    scored.group.task.id = "task-" + std::to_string(g);
    scored.group.task.kind = g == 0 ? "countdown" : "math";
    scored.group.task.question = "question " + std::to_string(g);
    for (size_t c = 0; c < 4; ++c) {
      // Group 0 is all right, group 1 mixed, group 2 all wrong; in step 6 group 0 is wrong, too.
      const bool right = (g == 0 && step < 6) || (g == 1 && c < 2);
      Completion& completion = scored.group.completions[c];
      const size_t tokens = 10 * (c + 1);
      completion.token_ids.resize(tokens);
      completion.sampled_mask.assign(tokens, 1);
      completion.logprobs.resize(tokens);
      completion.entropies.resize(tokens);
      for (size_t t = 0; t < tokens; ++t) completion.token_ids[t] = static_cast<int32_t>(t % 5);
      completion.entropies[3] = g == 1 && c == 2 ? 50.0f : 1.0f;
      completion.finish = c == 3 ? FinishReason::kLength : FinishReason::kStop;
      if (c == 1) completion.text = "a needle \xff here";
      scored.verdicts[c].status = right ? VerdictStatus::kCorrect : VerdictStatus::kWrong;
      scored.rewards[c] = {.total = right ? 1.0 : 0.0, .parts = {{"correct", right ? 1.0 : 0.0}}};
      scored.advantages[c] = g != 1 ? 0.0f : right ? 1.0f : -1.0f;
      reward_sum += scored.rewards[c].total;
    }
  }
  record.clips.assign(3, std::vector<std::vector<int8_t>>(4));
  record.clips[1][0].assign(10, 0);
  record.clips[1][0][7] = 1;
  record.metrics = {
      {"reward/mean", reward_sum / 12}, {"reward/correct", reward_sum / 12}, {"length/mean", 25},
      {"policy/entropy", 0.5},          {"policy/clip_high", 0.01},          {"time/step_s", 3.5}};
  return record;
}

}  // namespace

ServedRuns::ServedRuns() : folder_(FreshDirectory()), dashboard_(Dashboard::Create({folder_})) {}

ServedRuns::~ServedRuns() { std::filesystem::remove_all(folder_); }

std::unique_ptr<RunStore> ServedRuns::AddRun(const std::string& name, const std::string& toml) {
  EXPECT_TRUE(MakeDirectories(PathOf(name)).ok());
  EXPECT_TRUE(WriteFileAtomically(PathOf(name) + "/config.toml", toml).ok());
  auto store = RunStore::Open(PathOf(name) + "/run.db", RunStore::Mode::kCreate);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

std::unique_ptr<RunStore> ServedRuns::AddFirst() {
  std::unique_ptr<RunStore> store = AddRun(
      "first", "[run]\nsteps = 6\n[rollout]\ntemperature = 1.0\n[reward]\ngates = [\"format\"]\n");
  const auto write = [&](const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; };
  write(store->SetInfo("model", "models/tiny"));
  write(store->WriteVocabulary({"ab", " c", "\xc3", "\xa4", "<|end|>"}));
  write(store->WriteStep(
      {.step = 0, .phase = "eval/train", .metrics = {{"eval/greedy_accuracy", 0.25}}}));
  for (int64_t step = 1; step <= 6; ++step) write(store->WriteStep(TrainingStep(step)));
  write(store->WriteStep(
      {.step = 6, .phase = "eval/train", .metrics = {{"eval/greedy_accuracy", 0.5}}}));
  write(store->WriteEvent({3, "checkpoint", "step-000003"}));
  write(store->WriteEvent({6, "update_skipped", "not finite"}));
  write(store->WriteState({.activity = "generating",
                           .step = 7,
                           .steps = 20,
                           .done = 5,
                           .total = 12,
                           .workers = 2,
                           .left_s = 720}));
  write(store->WriteWorkers(
      {{.name = "w1", .role = "rollout", .policy_version = 6, .state = "working"}}));
  write(store->WriteReadings({{"learner", "cpu/percent", 55}, {"learner", "memory/bytes", 1e9}}));
  write(WriteFileAtomically(PathOf("first") + "/log.txt", "line one\nline two\n"));
  return store;
}

HttpResponse ServedRuns::Get(const std::string& target, const std::string& if_none_match) {
  absl::StatusOr<HttpTarget> parsed = ParseHttpTarget(target);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return dashboard_->Answer(
      {.path = parsed->path, .query = parsed->query, .if_none_match = if_none_match});
}

nlohmann::json ServedRuns::Json(const std::string& target, int status) {
  const HttpResponse response = Get(target);
  EXPECT_EQ(response.status, status) << target << ": " << response.body;
  EXPECT_EQ(response.content_type, "application/json") << target;
  nlohmann::json value = nlohmann::json::parse(response.body, nullptr, false);
  EXPECT_FALSE(value.is_discarded()) << target << ": " << response.body;
  EXPECT_EQ(value.contains("error"), status != 200) << target;
  return value;
}

}  // namespace ponder
