#include "observe/run_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using Mode = RunStore::Mode;

class RunStoreTest : public ::testing::Test {
 protected:
  RunStoreTest() : directory_(FreshDirectory()), path_(directory_ + "/run.db") {}
  ~RunStoreTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<RunStore> Open(Mode mode) {
    absl::StatusOr<std::unique_ptr<RunStore>> store = RunStore::Open(path_, mode);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Another hand in the file.
  void Sql(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(database);
  }

  const std::string directory_, path_;
};

TEST_F(RunStoreTest, GivesBackEveryFieldOfEveryCompletion) {
  const StepRecord record = MakeStep("train", 1, {.groups = 3, .completions = 4, .tokens = 50});
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  for (const Mode mode : {Mode::kAppend, Mode::kRead}) {
    store.reset();
    store = Open(mode);
    const auto completions = store->ReadCompletions("train", 1);
    ASSERT_TRUE(completions.ok()) << completions.status();
    ExpectHolds(*completions, record);
    const auto one = store->ReadCompletion((*completions)[5].rowid);
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_EQ(one->completion, (*completions)[5].completion);
    EXPECT_EQ(one->reward, (*completions)[5].reward);
    EXPECT_EQ(one->verdict, (*completions)[5].verdict);
    EXPECT_EQ(one->step, 1);
  }
  EXPECT_EQ(store->ReadCompletion(1000).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->ReadCompletions("train", 2)->empty());
  EXPECT_TRUE(store->ReadCompletions("eval", 1)->empty());
}

TEST_F(RunStoreTest, KeepsTextOfAnyBytes) {
  StepRecord record = MakeStep("train", 1, {.groups = 1, .completions = 1, .tokens = 3});
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  Task& task = record.groups[0].group.task;
  task.id = task.question = task.data = every;
  task.gold = std::string("\0", 1);
  record.groups[0].group.prompt = "\xf0\x28\x8c\x28";
  record.groups[0].group.completions[0].text = every + every;
  record.groups[0].verdicts[0].extracted = "\xff\xfe";
  record.groups[0].verdicts[0].reason = "";
  record.groups[0].verdicts[0].parts = {{std::string("a\0b", 3), 1.0}, {"\xff", 2.0}, {"", 3.0}};
  record.metrics[every] = 4;
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  ASSERT_TRUE(store->WriteEvent({1, every, every}).ok());
  ASSERT_TRUE(store->SetInfo(every, every).ok());
  ExpectHolds(*store->ReadCompletions("train", 1), record);
  EXPECT_EQ(store->ReadEvents()->at(0).message, every);
  EXPECT_EQ(store->GetInfo(every)->value(), every);
  const auto metrics = store->ReadMetrics("train");
  EXPECT_TRUE(std::any_of(metrics->begin(), metrics->end(),
                          [&](const StoredMetric& m) { return m.name == every && m.value == 4; }));
}

TEST_F(RunStoreTest, KeepsNumbersThatAreNotFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  StepRecord record = MakeStep("train", 1, {.groups = 1, .completions = 1, .tokens = 2});
  record.metrics = {{"a", NAN}, {"b", kInfinity}, {"c", -kInfinity}, {"d", -0.0}, {"e", 5e-324}};
  record.groups[0].group.completions[0].logprobs = {-std::numeric_limits<float>::infinity(), NAN};
  record.groups[0].rewards[0].total = NAN;
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  const auto metrics = store->ReadMetrics("train");
  ASSERT_EQ(metrics->size(), 5u);
  EXPECT_TRUE(std::isnan((*metrics)[0].value));
  EXPECT_EQ((*metrics)[1].value, kInfinity);
  EXPECT_EQ((*metrics)[2].value, -kInfinity);
  EXPECT_EQ((*metrics)[4].value, 5e-324);
  const auto completions = store->ReadCompletions("train", 1);
  ASSERT_TRUE(completions.ok()) << completions.status();
  EXPECT_TRUE(std::isinf((*completions)[0].completion.logprobs[0]));
  EXPECT_TRUE(std::isnan((*completions)[0].completion.logprobs[1]));
  EXPECT_TRUE(std::isnan((*completions)[0].reward.total));
}

TEST_F(RunStoreTest, TakesStepsWithoutVerdictsAndCompletionsWithoutTokens) {
  StepRecord record = MakeStep("sft", 1, {.groups = 1, .completions = 2, .tokens = 0});
  record.groups[0].verdicts.clear();
  record.groups[0].rewards.clear();
  record.groups[0].advantages.clear();
  record.groups[0].group.prompt_ids.clear();
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  ASSERT_TRUE(store->WriteStep({.step = 2, .phase = "sft"}).ok());
  const auto completions = store->ReadCompletions("sft", 1);
  ASSERT_TRUE(completions.ok()) << completions.status();
  ASSERT_EQ(completions->size(), 2u);
  EXPECT_EQ((*completions)[1].verdict, Verdict());
  EXPECT_EQ((*completions)[1].reward, Reward());
  EXPECT_TRUE((*completions)[1].completion.token_ids.empty());
  EXPECT_EQ(*store->LastStep("sft"), 2);
}

TEST_F(RunStoreTest, WritesAStepOfAPhaseOnce) {
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
  const absl::Status again = store->WriteStep(MakeStep("train", 1));
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.message()), HasSubstr("step 1 of phase \"train\""));
  EXPECT_TRUE(store->WriteStep(MakeStep("eval", 1)).ok());
  EXPECT_TRUE(store->WriteStep(MakeStep("train", 2)).ok());
  ExpectHolds(*store->ReadCompletions("train", 1), MakeStep("train", 1));
}

TEST_F(RunStoreTest, LeavesNothingOfAStepThatIsRefused) {
  auto store = Open(Mode::kCreate);
  StepRecord record = MakeStep("train", 1);
  record.groups.back().group.completions.back().sample_index = 0;
  const absl::Status status = store->WriteStep(record);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*store->LastStep("train"), 0);
  EXPECT_TRUE(store->ReadMetrics("train")->empty());
  EXPECT_TRUE(store->ReadCompletions("train", 1)->empty());
  EXPECT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
  ExpectHolds(*store->ReadCompletions("train", 1), MakeStep("train", 1));
}

TEST_F(RunStoreTest, ForgetsTheStepsOfAPhaseBehindAPointAndWritesThemAgainUnderTheSameNumbers) {
  auto store = Open(Mode::kCreate);
  for (int64_t step = 1; step <= 4; ++step) {
    ASSERT_TRUE(store->WriteStep(MakeStep("train", step)).ok());
  }
  const int64_t sample = store->ReadCompletions("train", 3)->front().rowid;
  ASSERT_TRUE(store->TruncateAfter("train", 2).ok());
  EXPECT_EQ(*store->LastStep("train"), 2);
  EXPECT_TRUE(store->ReadCompletions("train", 3)->empty());
  EXPECT_EQ(store->ReadCompletion(sample).status().code(), absl::StatusCode::kNotFound);
  const auto metrics = store->ReadMetrics("train");
  EXPECT_EQ(metrics->size(), 4u);
  EXPECT_EQ(metrics->back().step, 2);
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 3)).ok());
  EXPECT_EQ(store->ReadCompletions("train", 3)->front().rowid, sample);
  ExpectHolds(*store->ReadCompletions("train", 3), MakeStep("train", 3));
}

TEST_F(RunStoreTest, KeepsMetricsEventsAndInfoInOrder) {
  auto store = Open(Mode::kCreate);
  EXPECT_EQ(*store->LastStep("train"), 0);
  ASSERT_TRUE(store->WriteStep({.step = 2, .metrics = {{"b", 4}, {"a", 3}}}).ok());
  ASSERT_TRUE(store->WriteStep({.step = 1, .metrics = {{"a", 0.1}}}).ok());
  const auto metrics = store->ReadMetrics("train");
  ASSERT_EQ(metrics->size(), 3u);
  EXPECT_EQ((*metrics)[0].step, 1);
  EXPECT_EQ((*metrics)[0].value, 0.1);
  EXPECT_EQ((*metrics)[1].name, "a");
  EXPECT_EQ((*metrics)[2].name, "b");

  ASSERT_TRUE(store->WriteEvent({5, "checkpoint", "first"}).ok());
  ASSERT_TRUE(store->WriteEvent({3, "resumed", "second"}).ok());
  const auto events = store->ReadEvents();
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].step, 5);
  EXPECT_EQ((*events)[1].kind, "resumed");

  EXPECT_EQ(*store->GetInfo("model"), std::nullopt);
  ASSERT_TRUE(store->SetInfo("model", "a").ok());
  ASSERT_TRUE(store->SetInfo("model", "b").ok());
  EXPECT_EQ(store->GetInfo("model")->value(), "b");
}

TEST_F(RunStoreTest, OpensWhatTheModeSaysOnly) {
  EXPECT_EQ(RunStore::Open(path_, Mode::kAppend).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RunStore::Open(path_, Mode::kRead).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
  Open(Mode::kCreate);
  EXPECT_EQ(RunStore::Open(path_, Mode::kCreate).status().code(), absl::StatusCode::kAlreadyExists);
  auto reader = Open(Mode::kRead);
  for (const absl::Status& status :
       {reader->WriteStep(MakeStep("train", 1)), reader->WriteEvent({}), reader->SetInfo("a", "b"),
        reader->TruncateAfter("train", 0)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  }
  EXPECT_FALSE(RunStore::Open(directory_ + "/missing/run.db", Mode::kCreate).ok());
}

TEST_F(RunStoreTest, MakesAStoreWhereItsMakerDiedBeforeTheFirstCommit) {
  Sql("PRAGMA journal_mode = WAL");  // a header without tables
  ASSERT_TRUE(std::filesystem::exists(path_));
  auto store = Open(Mode::kCreate);
  EXPECT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
}

TEST_F(RunStoreTest, RefusesOtherSchemasAndOtherFiles) {
  Open(Mode::kCreate);
  Sql("PRAGMA user_version = 99");
  for (const Mode mode : {Mode::kAppend, Mode::kRead}) {
    const absl::Status status = RunStore::Open(path_, mode).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("version 99, this program reads version"));
  }
  Sql("PRAGMA application_id = 7");
  EXPECT_THAT(std::string(RunStore::Open(path_, Mode::kRead).status().message()),
              HasSubstr("not a run store"));
  std::filesystem::remove(path_);
  ASSERT_TRUE(WriteFileAtomically(path_, std::string(8192, 'x')).ok());
  EXPECT_EQ(RunStore::Open(path_, Mode::kAppend).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(RunStore::Open(path_, Mode::kCreate).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RunStoreTest, CallsBrokenRowsDataLoss) {
  Open(Mode::kCreate)->WriteStep(MakeStep("train", 1)).IgnoreError();
  for (const char* damage : {
           "UPDATE completions SET token_ids = x'00112233'",
           "UPDATE completions SET token_ids = substr(token_ids, 1, length(token_ids) - 1)",
           "UPDATE completions SET logprobs = sampled_mask",
           "UPDATE completions SET token_count = token_count + 1",
           "UPDATE completions SET token_count = -1",
           "UPDATE completions SET token_count = 9223372036854775807",
           "UPDATE completions SET version_count = 'many', versions = token_ids",
           "UPDATE completions SET entropies = 'text'",
           "UPDATE completions SET status = 'PERHAPS'",
           "UPDATE completions SET finish = ''",
           "UPDATE groups SET prompt_ids = x'28b52ffd'",
           "UPDATE groups SET prompt_count = 1000000000000",
       }) {
    std::filesystem::copy_file(path_, path_ + ".whole",
                               std::filesystem::copy_options::overwrite_existing);
    Sql(damage);
    auto store = Open(Mode::kRead);
    const absl::Status status = store->ReadCompletions("train", 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << damage << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("run.db: sample 1: ")) << damage;
    EXPECT_EQ(store->ReadCompletion(1).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(store->ReadMetrics("train").ok());  // the rest stays readable
    store.reset();
    std::filesystem::rename(path_ + ".whole", path_);
  }
}

TEST_F(RunStoreTest, NeverCrashesOnADamagedFile) {
  Open(Mode::kCreate)->WriteStep(MakeStep("train", 1)).IgnoreError();
  const std::string whole = *ReadFile(path_);
  ASSERT_GT(whole.size(), 20000u);
  int broken = 0;
  for (size_t i = 0; i < 60; ++i) {
    std::string damaged = whole;
    if (i < 20) damaged.resize(whole.size() * i / 20);
    for (size_t at = 100 + i * 37; i >= 20 && at < damaged.size(); at += 4001) damaged[at] ^= 0x5a;
    ASSERT_TRUE(WriteFileAtomically(path_, damaged).ok());
    const auto store = RunStore::Open(path_, Mode::kRead);
    if (!store.ok()) {
      ++broken;
      continue;
    }
    const auto completions = (*store)->ReadCompletions("train", 1);
    broken += !completions.ok() || !(*store)->ReadMetrics("train").ok();
  }
  EXPECT_GT(broken, 20);
}

TEST_F(RunStoreTest, LetsReadersSeeWholeStepsWhileItWrites) {
  auto writer = Open(Mode::kCreate);
  ASSERT_TRUE(writer->WriteStep(MakeStep("train", 1)).ok());
  auto reader = Open(Mode::kRead);
  for (int64_t step = 2; step <= 5; ++step) {
    EXPECT_EQ(*reader->LastStep("train"), step - 1);
    ASSERT_TRUE(writer->WriteStep(MakeStep("train", step)).ok());
    ExpectHolds(*reader->ReadCompletions("train", step), MakeStep("train", step));
  }
}

}  // namespace
}  // namespace ponder
